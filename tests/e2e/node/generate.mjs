// Reads calls as JSON lines, {fields, options?, retries?, timeout?}, and answers each with a line: what openai-node
// returned, or the error that it threw, and how many requests it sent for it.
import { createInterface } from 'node:readline';
import OpenAI from 'openai';

async function answer({ fields, options, retries = 0, timeout }) {
  let sent = 0;
  const counted = (url, init) => {
    sent += 1;
    return fetch(url, init);
  };
  const client = new OpenAI({ maxRetries: retries, timeout, fetch: counted });
  try {
    const { data, response } = await client.images.generate(fields, options).withResponse();
    return { sent, data, requestId: data._request_id, headers: Object.fromEntries(response.headers) };
  } catch (error) {
    const { status, code, type, param, message, requestID } = error;
    return { sent, error: { kind: error.constructor.name, status, code, type, param, message, requestId: requestID } };
  }
}

const answers = [];
for await (const line of createInterface({ input: process.stdin })) {
  answers.push(answer(JSON.parse(line)));
}
for (const each of await Promise.all(answers)) {
  console.log(JSON.stringify(each));
}

// Reads calls as JSON lines, {method?, fields, image?, mask?, options?, retries?, timeout?, key?}, and answers each with a
// line: what openai-node returned (a stream as its events), or the error that it threw, and how many requests it sent for
// it. `image` and `mask` are paths, `image` also a list of them. AT_ONCE: so many at once, else all.
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import OpenAI from 'openai';

const opened = (paths) => (Array.isArray(paths) ? paths.map((path) => createReadStream(path)) : createReadStream(paths));

function withFiles({ fields, image, mask }) {
  // the files first, as people write it: the SDK keeps that order on the wire
  const files = {};
  if (image) files.image = opened(image);
  if (mask) files.mask = opened(mask);
  return { ...files, ...fields };
}

async function events(stream) {
  const seen = [];
  for await (const event of stream) seen.push(event);
  return seen;
}

async function answer(call) {
  const { method = 'generate', fields, options, retries = 0, timeout, key } = call;
  let sent = 0;
  const counted = (url, init) => {
    sent += 1;
    return fetch(url, init);
  };
  const client = new OpenAI({ maxRetries: retries, timeout, fetch: counted, ...(key && { apiKey: key }) });
  try {
    const { data, response } = await client.images[method](withFiles(call), options).withResponse();
    const headers = Object.fromEntries(response.headers);
    if (fields.stream) return { sent, events: await events(data), headers };
    return { sent, data, requestId: data._request_id, headers };
  } catch (error) {
    const { status, code, type, param, message, requestID } = error;
    return { sent, error: { kind: error.constructor.name, status, code, type, param, message, requestId: requestID } };
  }
}

const calls = [];
for await (const line of createInterface({ input: process.stdin })) {
  calls.push(JSON.parse(line));
}
const answers = [];
const numbers = calls.keys();
async function some() {
  for (const number of numbers) answers[number] = await answer(calls[number]);
}
await Promise.all(Array.from({ length: Number(process.env.AT_ONCE) || calls.length }, some));
for (const each of answers) {
  console.log(JSON.stringify(each));
}

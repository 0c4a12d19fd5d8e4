"""/openapi.json: the team-facing API, described from the very types that check it."""

from typing import Any

from gateway.core.ask import Ask

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_IMAGES = {
    "type": "object",
    "required": ["created", "data", "job_id", "status", "imagegate"],
    "properties": {
        "created": {"type": "integer"},
        "data": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {"url": {"type": "string"}, "b64_json": {"type": "string"}},
            },
        },
        "output_format": {"enum": ["png", "webp", "jpeg"]},
        "size": {"type": "string"},
        "usage": {"type": "object"},
        "job_id": {"type": "string"},
        "status": {"const": "completed"},
        "imagegate": {
            "type": "object",
            "required": ["job", "provider", "cache", "seed", "cost", "budget_remaining"],
            "properties": {
                "job": {"type": "string"},
                "provider": {"type": "string"},
                "cache": {"enum": ["miss", "joined", "replayed"]},
                "seed": {"type": "integer"},
                "cost": {"type": "string", "description": "dollars, a plain decimal"},
                "budget_remaining": {"type": ["string", "null"], "description": "dollars, a plain decimal"},
            },
        },
    },
}
_JOB = {
    "type": "object",
    "required": ["job_id", "status", "progress", "created_at", "completed_at", "error"],
    "properties": {
        "job_id": {"type": "string"},
        "status": {"enum": ["queued", "processing", "completed", "failed"]},
        "progress": {"type": "number", "minimum": 0, "maximum": 1},
        "created_at": {"type": "string"},
        "completed_at": {"type": ["string", "null"]},
        "error": {"type": ["object", "null"]},
        "result": {"oneOf": [{"$ref": "#/components/schemas/Images"}, {"type": "null"}]},
    },
}
_ACCEPTED = {
    "type": "object",
    "required": ["job_id", "status", "created"],
    "properties": {
        "job_id": {"type": "string"},
        "status": {"enum": ["queued", "processing", "completed", "failed"]},
        "created": {"type": "integer"},
    },
}
_JOB_PATH = {"name": "job_id", "in": "path", "required": True, "schema": {"type": "string"}}
_GENERATION_ERRORS = (400, 401, 404, 408, 409, 413, 415, 429, 502, 503, 504)


def document(version: str) -> dict[str, Any]:
    """OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "imagegate",
            "version": version,
            "description": "OpenAI Images, made elsewhere, under budgets.",
        },
        "security": [{"key": []}],
        "paths": {
            "/v1/images/generations": {"post": _generate()},
            "/v1/jobs": {"get": _list()},
            "/v1/jobs/{job_id}": {"get": _get(), "delete": _cancel()},
            "/files/{name}": {"get": _file()},
            "/healthz": {"get": _open("The process answers.")},
            "/readyz": {"get": _open("Store and policies are there.", 503)},
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "CreateImageRequest": Ask.model_json_schema(),
                "Images": _IMAGES,
                "Job": _JOB,
                "Accepted": _ACCEPTED,
                "Error": _ERROR,
            },
        },
    }


def _generate() -> dict[str, Any]:
    return {
        "operationId": "createImage",
        "summary": "Make images from a prompt, and wait for them.",
        "requestBody": {"required": True, "content": _content("CreateImageRequest")},
        "responses": {
            "200": {"description": "The images.", "content": _content("Images")},
            "202": {"description": "The job goes on; ask at its Location.", "content": _content("Accepted")},
            **_errors(*_GENERATION_ERRORS),
        },
    }


def _list() -> dict[str, Any]:
    return {
        "operationId": "listJobs",
        "summary": "The team's jobs, newest first.",
        "parameters": [
            {
                "name": "limit",
                "in": "query",
                "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
            },
            {"name": "after", "in": "query", "schema": {"type": "string"}},
        ],
        "responses": {
            "200": {
                "description": "A page of jobs.",
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "required": ["object", "data", "has_more"],
                            "properties": {
                                "object": {"const": "list"},
                                "data": {"type": "array", "items": {"$ref": "#/components/schemas/Job"}},
                                "has_more": {"type": "boolean"},
                            },
                        }
                    }
                },
            },
            **_errors(400, 401, 503),
        },
    }


def _get() -> dict[str, Any]:
    return {
        "operationId": "getJob",
        "summary": "A job, with its result once it is completed.",
        "parameters": [_JOB_PATH],
        "responses": {"200": {"description": "The job.", "content": _content("Job")}, **_errors(400, 401, 404, 503)},
    }


def _cancel() -> dict[str, Any]:
    return {
        "operationId": "cancelJob",
        "summary": "Cancel a job that was not submitted yet.",
        "parameters": [_JOB_PATH],
        "responses": {
            "200": {"description": "The job.", "content": _content("Job")},
            **_errors(400, 401, 404, 409, 503),
        },
    }


def _file() -> dict[str, Any]:
    return {
        "operationId": "getPicture",
        "summary": "A picture, by its signed URL.",
        "security": [],
        "parameters": [
            {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}},
            *({"name": name, "in": "query", "schema": {"type": "string"}} for name in "kes"),
        ],
        "responses": {
            "200": {
                "description": "The bytes.",
                "content": {f"image/{codec}": {} for codec in ("png", "webp", "jpeg")},
            },
            **_errors(400, 404, 503),
        },
    }


def _open(summary: str, *errors: int) -> dict[str, Any]:
    return {
        "summary": summary,
        "security": [],
        "responses": {"200": {"description": "Yes.", "content": {"application/json": {}}}, **_errors(*errors)},
    }


def _content(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _errors(*statuses: int) -> dict[str, Any]:
    return {str(status): {"description": "An error.", "content": _content("Error")} for status in statuses}

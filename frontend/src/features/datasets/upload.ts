/** Sends a file with progress, which fetch does not tell; the backend streams it to disk. */
import { authHeaders, newRequestId, serviceURL } from "@/lib/api/endpoints";
import { ApiError, errorFromBody, unreachableError } from "@/lib/api/errors";
import { type Dataset } from "./api";
import { type ColumnMap } from "./lib/upload-file";

export interface Upload {
  file: File;
  name: string;
  description: string;
  columns: ColumnMap;
}

interface SendOptions {
  /** Of the whole body, which is a little more than the file. */
  onProgress: (sentBytes: number, totalBytes: number) => void;
  signal: AbortSignal;
}

/** Rejects with an ApiError, or with an AbortError when `signal` says so; then the backend keeps nothing. */
export function sendDataset(upload: Upload, { onProgress, signal }: SendOptions): Promise<Dataset> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const requestId = newRequestId();
    request.open("POST", `${serviceURL("backend")}/api/v1/datasets`);
    request.responseType = "text";
    request.setRequestHeader("x-request-id", requestId);
    for (const [name, value] of Object.entries(authHeaders())) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => onProgress(loaded, total);
    request.onload = () => {
      const answer = parseJSON(request.responseText);
      if (request.status === 201) resolve(answer as Dataset);
      else reject(errorFromBody("backend", request.status, headersOf(request), answer));
    };
    request.onerror = () => reject(lostError(requestId));
    request.onabort = () => reject(new DOMException("The upload was cancelled.", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(formOf(upload));
  });
}

/** The file is the last part, as what comes before says how to read it. */
function formOf({ file, name, description, columns }: Upload): FormData {
  const form = new FormData();
  if (name) form.set("name", name);
  if (description) form.set("description", description);
  for (const [part, column] of Object.entries(columns)) form.set(`${part}_column`, column);
  form.set("file", file, file.name);
  return form;
}

/** A server that refuses a large body closes the connection, and the browser tells no more than for one that is down. */
function lostError(requestId: string): ApiError {
  const { service, status, code, message } = unreachableError("backend", requestId);
  const told = `${message} If it runs, the file may be larger than MLX_HUB_MAX_UPLOAD allows, or have changed on disk meanwhile.`;
  return new ApiError({ service, status, code, message: told, requestId });
}

function headersOf(request: XMLHttpRequest): Headers {
  const headers = new Headers();
  for (const name of ["x-request-id", "retry-after"]) {
    const value = request.getResponseHeader(name);
    if (value) headers.set(name, value);
  }
  return headers;
}

function parseJSON(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

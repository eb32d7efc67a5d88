/**
 * Typed requests to both services: `unwrap(backend().GET("/api/v1/models", { params: { query: { page: 1 } }, signal }))`.
 * Every failure is an ApiError; an abort stays an AbortError.
 */
import createClient, { type Client, type Middleware } from "openapi-fetch";
import type { components as BackendComponents, paths as BackendPaths } from "@/lib/api/backend";
import { authHeaders, newRequestId, serviceURL, type Service } from "@/lib/api/endpoints";
import { connectionLostError, errorFromResponse, isAbort, unreachableError } from "@/lib/api/errors";
import type { components as InferenceComponents, paths as InferencePaths } from "@/lib/api/inference";

/** A type of the backend's API by its name: `Backend<"TrainingJobPublic">`. */
export type Backend<Name extends keyof BackendComponents["schemas"]> = BackendComponents["schemas"][Name];
export type Inference<Name extends keyof InferenceComponents["schemas"]> = InferenceComponents["schemas"][Name];

const clients = new Map<string, Client<never>>();

/** The client for the service's present address. */
function clientFor<Paths extends object>(service: Service): Client<Paths> {
  const baseUrl = serviceURL(service);
  const key = `${service} ${baseUrl}`;
  let client = clients.get(key) as Client<Paths> | undefined;
  if (!client) {
    // Looked up at each call, so that what wraps fetch later is used.
    client = createClient<Paths>({ baseUrl, fetch: (request) => fetch(request) });
    client.use(middlewareFor(service));
    clients.set(key, client as Client<never>);
  }
  return client;
}

export function backend(): Client<BackendPaths> {
  return clientFor<BackendPaths>("backend");
}

export function inference(): Client<InferencePaths> {
  return clientFor<InferencePaths>("inference");
}

function middlewareFor(service: Service): Middleware {
  return {
    onRequest({ request }) {
      request.headers.set("x-request-id", newRequestId());
      for (const [name, value] of Object.entries(authHeaders())) request.headers.set(name, value);
      return request;
    },
    async onResponse({ response }) {
      if (!response.ok) throw await errorFromResponse(service, response);
      return isJSON(response) ? readWhole(service, response) : undefined;
    },
    onError({ error, request }) {
      if (isAbort(error) || !(error instanceof TypeError)) return;
      return unreachableError(service, request.headers.get("x-request-id") ?? undefined);
    },
  };
}

function isJSON(response: Response): boolean {
  return response.status !== 204 && (response.headers.get("content-type") ?? "").includes("json");
}

/** Read here, where it is known whose answer it is that breaks off. */
async function readWhole(service: Service, response: Response): Promise<Response> {
  try {
    return new Response(await response.text(), response);
  } catch (error) {
    throw isAbort(error) ? error : connectionLostError(service, response.headers.get("x-request-id"));
  }
}

interface Answer<Data> {
  data?: Data;
  error?: unknown;
  response: Response;
}

/** The body of an answer; what failed was thrown before. `undefined` for 204. */
export async function unwrap<Data>(answer: Promise<Answer<Data>>): Promise<Data> {
  const { data } = await answer;
  return data as Data;
}

/** Headers and body, for answers whose headers say something. */
export async function unwrapWithResponse<Data>(answer: Promise<Answer<Data>>): Promise<{ data: Data; response: Response }> {
  const { data, response } = await answer;
  return { data: data as Data, response };
}

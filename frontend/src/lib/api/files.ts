/** Files of a service, where a link would not do because it sends no API key. */
import { authHeaders, newRequestId, serviceURL, type Service } from "@/lib/api/endpoints";
import { connectionLostError, errorFromResponse, unreachableError } from "@/lib/api/errors";

/** Whole. Raises an ApiError. */
export async function fetchFile(service: Service, path: string): Promise<Blob> {
  const requestId = newRequestId();
  const headers = { "x-request-id": requestId, ...authHeaders() };
  const response = await fetch(`${serviceURL(service)}${path}`, { headers }).catch(() => {
    throw unreachableError(service, requestId);
  });
  if (!response.ok) throw await errorFromResponse(service, response);
  return response.blob().catch(() => {
    throw connectionLostError(service, requestId);
  });
}

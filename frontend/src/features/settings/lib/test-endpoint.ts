/** Whether a service answers at an address that is not saved yet, and whether it is the right one. */
import { SERVICE_NAMES, type Service } from "@/lib/api/endpoints";

export interface TestResult {
  isOk: boolean;
  message: string;
}

const TIMEOUT_MS = 5_000;

/** Read with a key, where one is asked for; health never asks. */
const ASKED: Record<Service, string> = { backend: "/api/v1/models?page_size=1", inference: "/v1/models" };

export async function testEndpoint(service: Service, url: string, apiKey: string | null): Promise<TestResult> {
  try {
    const health = await fetch(`${url}/health`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    const body: unknown = await health.json().catch(() => null);
    const found = identify(body);
    if (!found) return failed(`Something answers at ${url}, but it is not the ${SERVICE_NAMES[service]}.`);
    if (found.service !== service) {
      return failed(`This is the ${SERVICE_NAMES[found.service]}, not the ${SERVICE_NAMES[service]}.`);
    }
    if (!(await acceptsKey(`${url}${ASKED[service]}`, apiKey))) {
      return failed(apiKey ? "It answers, but refuses this API key." : "It answers, but asks for an API key.");
    }
    return { isOk: true, message: `Answers, version ${found.version}.` };
  } catch {
    return failed(`Nothing answers at ${url}. Check the address, and that the service allows this page to call it.`);
  }
}

function failed(message: string): TestResult {
  return { isOk: false, message };
}

/** Only the backend's health names its checks. */
export function identify(body: unknown): { service: Service; version: string } | null {
  if (typeof body !== "object" || body === null || !("status" in body) || !("version" in body)) return null;
  return { service: "checks" in body ? "backend" : "inference", version: String(body.version) };
}

async function acceptsKey(url: string, apiKey: string | null): Promise<boolean> {
  const headers = apiKey ? { authorization: `Bearer ${apiKey}` } : undefined;
  const answer = await fetch(url, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
  return answer.ok;
}

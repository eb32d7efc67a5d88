/**
 * What the running server says about its surroundings. Each request reads the environment anew, so that one build can be pointed
 * anywhere; NEXT_PUBLIC_* at build time, then a default, stand in. What a person saves in Settings comes on top (lib/storage).
 */

export interface RuntimeConfig {
  /** Base URLs, without a slash at the end. */
  backendUrl: string;
  inferenceUrl: string;
  grafanaUrl: string;
  prometheusUrl: string;
  mlflowUrl: string;
}

const BUILT: RuntimeConfig = {
  backendUrl: process.env.NEXT_PUBLIC_API_URL || "http://localhost:8002",
  inferenceUrl: process.env.NEXT_PUBLIC_INFERENCE_URL || "http://localhost:8080",
  grafanaUrl: process.env.NEXT_PUBLIC_GRAFANA_URL || "http://localhost:3001",
  prometheusUrl: process.env.NEXT_PUBLIC_PROMETHEUS_URL || "http://localhost:9090",
  mlflowUrl: process.env.NEXT_PUBLIC_MLFLOW_URL || "http://localhost:5001",
};

/** For server code that runs once per request. */
export function readRuntimeConfig(): RuntimeConfig {
  // Taken apart, so that the build does not put its own values in place of these.
  const env: NodeJS.ProcessEnv = globalThis.process.env;
  const config: RuntimeConfig = {
    backendUrl: env.NEXT_PUBLIC_API_URL || BUILT.backendUrl,
    inferenceUrl: env.NEXT_PUBLIC_INFERENCE_URL || BUILT.inferenceUrl,
    grafanaUrl: env.NEXT_PUBLIC_GRAFANA_URL || BUILT.grafanaUrl,
    prometheusUrl: env.NEXT_PUBLIC_PROMETHEUS_URL || BUILT.prometheusUrl,
    mlflowUrl: env.NEXT_PUBLIC_MLFLOW_URL || BUILT.mlflowUrl,
  };
  return Object.fromEntries(
    Object.entries(config).map(([name, url]: [string, string]) => [name, url.replace(/\/+$/, "")]),
  ) as unknown as RuntimeConfig;
}

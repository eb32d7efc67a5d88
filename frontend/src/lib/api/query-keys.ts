/** The keys of everything in the query cache. The event stream writes under them, so use these and no others. */

export const keys = {
  models: {
    all: ["models"] as const,
    lists: ["models", "list"] as const,
    list: (filter: object) => ["models", "list", filter] as const,
    detail: (id: string) => ["models", "detail", id] as const,
    versions: (id: string) => ["models", "detail", id, "versions"] as const,
    aliases: (id: string) => ["models", "detail", id, "aliases"] as const,
  },
  training: {
    all: ["training"] as const,
    lists: ["training", "list"] as const,
    list: (filter: object) => ["training", "list", filter] as const,
    detail: (id: string) => ["training", "detail", id] as const,
    /** Holds `MetricsPublic`; new points are appended as they happen. */
    metrics: (id: string) => ["training", "metrics", id] as const,
    logs: (id: string) => ["training", "logs", id] as const,
  },
  downloads: {
    all: ["downloads"] as const,
    lists: ["downloads", "list"] as const,
    list: (filter: object) => ["downloads", "list", filter] as const,
    detail: (id: string) => ["downloads", "detail", id] as const,
    usage: ["downloads", "usage"] as const,
  },
  tasks: {
    all: ["tasks"] as const,
    lists: ["tasks", "list"] as const,
    list: (filter: object) => ["tasks", "list", filter] as const,
    detail: (id: string) => ["tasks", "detail", id] as const,
  },
  datasets: {
    all: ["datasets"] as const,
    lists: ["datasets", "list"] as const,
    list: (filter: object) => ["datasets", "list", filter] as const,
    detail: (id: string) => ["datasets", "detail", id] as const,
    /** Rows, problems, previews, statistics: `keys.datasets.view(id, "rows", { page })`. */
    view: (id: string, name: string, options: object = {}) => ["datasets", "view", id, name, options] as const,
  },
  discover: {
    all: ["discover"] as const,
    search: (filter: object) => ["discover", "search", filter] as const,
    popular: ["discover", "popular"] as const,
    detail: (repoId: string) => ["discover", "detail", repoId] as const,
  },
  system: {
    all: ["system"] as const,
    /** Holds `SystemPublic`; its `host` follows the stream. */
    state: ["system", "state"] as const,
    metrics: (options: object = {}) => ["system", "metrics", options] as const,
  },
  health: {
    backend: ["health", "backend"] as const,
    inference: ["health", "inference"] as const,
  },
  served: {
    all: ["served"] as const,
    /** `GET /v1/models` */
    models: ["served", "models"] as const,
    /** `GET /admin/models` */
    admin: ["served", "admin"] as const,
    metrics: (options: object = {}) => ["served", "metrics", options] as const,
  },
  cache: {
    all: ["cache"] as const,
    entries: ["cache", "entries"] as const,
    stats: ["cache", "stats"] as const,
  },
};

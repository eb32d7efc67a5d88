/** TCP in front of a service, to cut and restore as a cable: the browser then meets a real network failure. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

export class Wire {
  private readonly open = new Set<Socket>();
  private server: Server | null = null;
  private port = 0;

  /** `target` is a service's base URL. */
  constructor(private readonly target: URL) {}

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Connects, the second time at the same port. */
  async restore(): Promise<void> {
    const server = createServer((client) => this.join(client));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject).listen(this.port, "127.0.0.1", resolve);
    });
    this.port = (server.address() as AddressInfo).port;
    this.server = server;
  }

  /** Nobody answers at the port any more; open connections break. */
  async cut(): Promise<void> {
    const server = this.server;
    this.server = null;
    const closed = new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve()));
    for (const socket of this.open) socket.destroy();
    await closed;
  }

  private join(client: Socket): void {
    const service = connect(Number(this.target.port), this.target.hostname);
    for (const [from, to] of [
      [client, service],
      [service, client],
    ] as const) {
      this.open.add(from);
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.open.delete(from);
        to.destroy();
      });
    }
  }
}

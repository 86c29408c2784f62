/** Tells systemd what this process is doing (sd_notify(3), `Type=notify`). Says nothing when nobody listens. */
import type { Environment } from "../config/load.ts";
import { sendDatagram } from "../transport/unix-datagram.ts";

export class ServiceManager {
  readonly #path: string;

  constructor(environment: Environment) {
    this.#path = environment["NOTIFY_SOCKET"] ?? "";
  }

  ready(): void {
    this.#tell("READY=1");
  }

  /** Until the next `ready`. */
  reloading(): void {
    // On the scale of CLOCK_MONOTONIC, which `Type=notify-reload` asks for.
    this.#tell(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1_000n}`);
  }

  stopping(): void {
    this.#tell("STOPPING=1");
  }

  /** Another process has taken this one's place. */
  replacedBy(pid: number): void {
    this.#tell(`MAINPID=${pid}\nREADY=1`);
  }

  #tell(state: string): void {
    if (this.#path !== "") sendDatagram(this.#path, `${state}\n`);
  }
}

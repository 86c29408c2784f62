/** Replaces the certificate of a chaos run in its file, and looks whether clients are shown the new one. */
import { eventually } from "../support/process.ts";
import { tlsClient } from "../support/tls-client.ts";
import { certificateName, type Scene } from "./scene.ts";

/** Files are looked at every five seconds; a busy machine takes longer. */
const SHOWN_MS = 12_000;
/** So many connections that each worker gets some. */
const HANDSHAKES = 12;

export class Certificates {
  /** What was not shown in time. */
  readonly failures: string[] = [];
  readonly #scene: Scene;
  readonly #looking: Promise<void>[] = [];
  #count = 0;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  replace(): void {
    const number = ++this.#count;
    this.#scene.replaceCertificate(number);
    const isShown = eventually(
      async () => (await this.#shown()).every((shown) => shown >= number),
      () => `${certificateName(number)} to be shown`,
      SHOWN_MS,
    );
    this.#looking.push(isShown.catch((error: Error) => void this.failures.push(error.message)));
  }

  /** Resolves when all that were put there have been seen, or not in time. */
  async settle(): Promise<void> {
    await Promise.all(this.#looking);
  }

  /** The numbers of the certificates that new connections are shown. */
  #shown(): Promise<number[]> {
    const shown = async (): Promise<number> => {
      const client = await tlsClient(this.#scene.ports.tls);
      const names = client.failure === "" ? client.certificateNames() : "";
      client.destroy();
      return Number(/number-(\d+)\./.exec(names)?.[1]);
    };
    return Promise.all(Array.from({ length: HANDSHAKES }, shown));
  }
}

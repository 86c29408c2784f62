/** The open challenges, shown by all workers: an authority that comes to look may reach any of them. */
import type { Challenge, ChallengeResponder } from "../tls/acme/challenges.ts";
import type { WorkerLink } from "./worker-link.ts";

export class ChallengeBoard implements ChallengeResponder {
  readonly #links: () => readonly WorkerLink[];
  #open: readonly Challenge[] = [];

  constructor(links: () => readonly WorkerLink[]) {
    this.#links = links;
  }

  /** For a worker that takes a dead one's place. */
  get open(): readonly Challenge[] {
    return this.#open;
  }

  /** Resolves once every worker shows it. */
  present(challenge: Challenge): Promise<void> {
    this.#open = [...this.#open, challenge];
    return this.#show();
  }

  withdraw(challenge: Challenge): Promise<void> {
    this.#open = this.#open.filter((open) => open !== challenge);
    return this.#show();
  }

  async #show(): Promise<void> {
    await Promise.all(this.#links().map((link) => link.setChallenges(this.#open)));
  }
}

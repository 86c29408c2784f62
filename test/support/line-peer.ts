/** A program that is asked in lines of JSON on its standard input, and answers each in a line with the same `id`. */

export class LinePeer<Outcome> {
  readonly #process: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #waiting = new Map<number, (outcome: Outcome) => void>();
  readonly #ended: Outcome;
  #next = 0;

  /** `ended` is the answer to whatever is open when the program ends. */
  constructor(command: readonly string[], ended: Outcome) {
    this.#process = Bun.spawn([...command], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
    this.#ended = ended;
    void this.#read();
  }

  ask(question: object): Promise<Outcome> {
    const id = this.#next++;
    void this.#process.stdin.write(`${JSON.stringify({ id, ...question })}\n`);
    void this.#process.stdin.flush();
    return new Promise((resolve) => void this.#waiting.set(id, resolve));
  }

  async stop(): Promise<void> {
    this.#process.kill();
    await this.#process.exited;
  }

  async #read(): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const piece of this.#process.stdout) {
      rest += decoder.decode(piece, { stream: true });
      const lines = rest.split("\n");
      rest = lines.pop() as string;
      for (const line of lines) {
        const { id, ...outcome } = JSON.parse(line) as Outcome & { id: number };
        this.#waiting.get(id)?.(outcome as Outcome);
        this.#waiting.delete(id);
      }
    }
    for (const tell of this.#waiting.values()) tell(this.#ended);
  }
}

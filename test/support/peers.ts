/** Programs that others have written, on both sides of the balancer: nginx as endpoints, wrk as clients. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, freePort, RunningProgram, temporaryFolder } from "./process.ts";

/** An endpoint that answers every request with its name; stays at its port over restarts. */
export class NginxEndpoint {
  readonly port: number;
  readonly folder = temporaryFolder();
  #program: RunningProgram | undefined;

  constructor(port: number, name: string) {
    this.port = port;
    writeFileSync(join(this.folder, "nginx.conf"), nginxConfig(this.folder, port, name));
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const { PATH = "" } = process.env;
    const command = ["nginx", "-p", this.folder, "-e", "stderr", "-c", join(this.folder, "nginx.conf")];
    const program = new RunningProgram(command, { environment: { PATH: `${PATH}:/usr/sbin` } });
    this.#program = program;
    const answers = () =>
      fetch(`http://${this.address}/`, { headers: { Connection: "close" } }).then(
        ({ ok }) => ok,
        () => false,
      );
    await eventually(answers, () => `an answer of ${program.describe()}`);
  }

  /** `nginx -s quit`: finishes what it has begun. */
  async quit(): Promise<void> {
    this.#program?.signal("SIGQUIT");
    await this.#program?.ending();
  }

  /** Ends it in the middle of whatever it does. */
  async crash(): Promise<void> {
    this.#program?.kill();
    await this.#program?.ending();
  }
}

/** `count` endpoints that answer. */
export async function startNginx(count: number): Promise<NginxEndpoint[]> {
  const endpoints: NginxEndpoint[] = [];
  for (let index = 1; index <= count; index++) endpoints.push(new NginxEndpoint(await freePort(), `nginx-${index}`));
  await Promise.all(endpoints.map((endpoint) => endpoint.start()));
  return endpoints;
}

function nginxConfig(folder: string, port: number, name: string): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${folder}/${kind};`)
    .join("\n  ");
  return `daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
${process.getuid?.() === 0 ? "user root;" : ""}
events { worker_connections 2048; }
http {
  access_log off;
  keepalive_requests 1000000;
  ${temporary}
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / { default_type text/plain; return 200 "${name}\\n"; }
  }
}
`;
}

export interface WrkOptions {
  readonly connections: number;
  readonly seconds: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Pause of each connection before each request. */
  readonly pauseMs?: number;
}

export interface WrkFigures {
  readonly requests: number;
  /** Answers that were neither 2xx nor 3xx. */
  readonly badAnswers: number;
  /** Connections that failed: refused, closed in the middle, silent. */
  readonly socketErrors: number;
}

/** Loads `url`; resolves when the time is over. Throws when wrk itself fails. */
export async function wrk(url: string, options: WrkOptions): Promise<WrkFigures> {
  const { connections, seconds, headers = {}, pauseMs = 0 } = options;
  const args = ["-t1", `-c${connections}`, `-d${seconds}s`, "--timeout", "30s"];
  for (const [name, value] of Object.entries(headers)) args.push("-H", `${name}: ${value}`);
  if (pauseMs > 0) {
    const script = join(temporaryFolder(), "pause.lua");
    writeFileSync(script, `function delay() return ${pauseMs} end\n`);
    args.push("-s", script);
  }
  const program = new RunningProgram(["wrk", ...args, url]);
  const ending = await program.ending((seconds + 60) * 1_000);
  if (ending !== 0) throw new Error(`wrk ended with ${ending}: ${program.describe()}`);
  await program.outputEnded;
  return parseFigures(program.stdout);
}

function parseFigures(text: string): WrkFigures {
  const number = (pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? 0);
  const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text)?.slice(1) ?? [];
  return {
    requests: number(/(\d+) requests in/),
    badAnswers: number(/Non-2xx or 3xx responses: (\d+)/),
    socketErrors: errors.reduce((sum, count) => sum + Number(count), 0),
  };
}

/** The proxies that are measured, each tuned for this work: one worker, connections to endpoints kept, the same headers. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const BACKEND_PORTS = [29_101, 29_102, 29_103];
const CONNECTIONS = 9_500;

/** What is spoken on which port, counted from a rival's own. */
export const PORT = { http: 0, tls: 10, tcp: 20, grpc: 30 } as const;
export type Spoken = keyof typeof PORT;
export const GRPC_PORT = 29_111;
export const WEBSOCKET_PORT = 29_112;
const STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so";

export interface Rival {
  readonly name: string;
  /** Of plain HTTP; the others are PORT further on. */
  readonly port: number;
  /** Undefined when it is not installed. */
  start(folder: string, scene: SceneConfig): Promise<RunningRival>;
  isInstalled(): boolean;
}

export interface SceneConfig {
  /** Path prefixes that each have a route of their own besides the default. */
  readonly routes: number;
  readonly accessLog: boolean;
}

export interface RunningRival {
  /** All its processes. */
  pids(): number[];
  stop(): void;
}

const PROXY_CPU = "0";

export const evenkeel: Rival = {
  name: "evenkeel",
  port: 29_001,
  isInstalled: () => true,
  start(folder, { routes, accessLog }) {
    const root = join(import.meta.dir, "..", "..");
    const config = {
      workers: Number(process.env["BENCH_WORKERS"] ?? 1),
      listeners: {
        web: {
          address: `127.0.0.1:${this.port}`,
          pool: "app",
          maxConnections: 15_000,
          maxConnectionsPerClient: 15_000,
          maxRequestsPerConnection: 1_000_000_000,
        },
        tls: {
          address: `127.0.0.1:${this.port + PORT.tls}`,
          pool: "app",
          maxConnections: 15_000,
          maxConnectionsPerClient: 15_000,
          maxRequestsPerConnection: 1_000_000_000,
          tls: { certificates: [{ certificate: join(folder, "cert.pem"), key: join(folder, "key.pem") }] },
        },
        tcp: {
          address: `127.0.0.1:${this.port + PORT.tcp}`,
          protocol: "tcp",
          pool: "app",
          maxConnections: 15_000,
          maxConnectionsPerClient: 15_000,
        },
        grpc: {
          address: `127.0.0.1:${this.port + PORT.grpc}`,
          pool: "grpc",
          maxRequestsPerConnection: 1_000_000_000,
          tls: { certificates: [{ certificate: join(folder, "cert.pem"), key: join(folder, "key.pem") }] },
        },
      },
      routes: [
        { match: { path: ["/ws", "/hang"] }, pool: "ws", listeners: ["web", "tls"], timeouts: { response: "10m" } },
        ...Array.from({ length: routes }, (_, index) => ({
          match: { pathPrefix: `/route-${index}` },
          pool: "app",
          listeners: ["web", "tls"],
          maxBodySize: "0",
        })),
      ],
      pools: {
        app: {
          balance: "least-connections",
          endpoints: BACKEND_PORTS.map((port) => `127.0.0.1:${port}`),
          connections: { idleTimeout: "5m", maxIdle: 8_192 },
        },
        grpc: { endpoints: [`127.0.0.1:${GRPC_PORT}`], connections: { protocol: "http2" } },
        ws: { endpoints: [`127.0.0.1:${WEBSOCKET_PORT}`], health: { type: "tcp" } },
      },
      admin: { address: "127.0.0.1:29009" },
      accessLog: accessLog ? { path: join(folder, "evenkeel-access.log"), format: "combined" } : false,
      log: { level: "warn" },
    };
    const file = join(folder, "evenkeel.json");
    writeFileSync(file, JSON.stringify(config));
    return launch(
      ["taskset", "-c", PROXY_CPU, process.execPath, join(root, "src", "cli", "main.ts"), "run", "-c", file],
      this.port,
    );
  },
};

export const nginx: Rival = {
  name: "nginx",
  port: 29_002,
  isInstalled: () => Bun.which("nginx") !== null,
  start(folder, { routes, accessLog }) {
    const servers = BACKEND_PORTS.map((port) => `server 127.0.0.1:${port};`).join(" ");
    const pass = "proxy_pass http://app;";
    const locations = Array.from({ length: routes }, (_, index) => `location /route-${index} { ${pass} }`).join("\n");
    const ssl = `ssl_certificate ${folder}/cert.pem; ssl_certificate_key ${folder}/key.pem; ssl_session_cache shared:s:10m; ssl_protocols TLSv1.2 TLSv1.3;`;
    const hasStream = existsSync(STREAM_MODULE);
    const stream = `stream { upstream app { least_conn; ${servers} } server { listen 127.0.0.1:${this.port + PORT.tcp} backlog=4096; proxy_pass app; proxy_timeout 1h; } }`;
    const config = `${hasStream ? `load_module ${STREAM_MODULE};` : ""} worker_processes 1; daemon off; pid ${folder}/nginx.pid; error_log ${folder}/nginx.err error; worker_rlimit_nofile 20000;
events { worker_connections 19000; }
http { access_log ${accessLog ? `${folder}/nginx-access.log combined buffer=32k flush=1s` : "off"}; keepalive_requests 1000000000; keepalive_timeout 75s; client_max_body_size 0;
 client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
 proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
 proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
 proxy_set_header X-Forwarded-Port $server_port; proxy_set_header X-Forwarded-Host $http_host; proxy_set_header Via "1.1 nginx"; proxy_set_header X-Request-ID $request_id;
 proxy_request_buffering off; proxy_buffer_size 16k; proxy_buffers 16 64k; proxy_busy_buffers_size 256k; proxy_max_temp_file_size 0;
 upstream app { least_conn; ${servers} keepalive 4096; keepalive_requests 1000000000; keepalive_timeout 300s; }
 upstream grpc { server 127.0.0.1:${GRPC_PORT}; keepalive 64; keepalive_requests 1000000000; }
 server { listen 127.0.0.1:${this.port} backlog=4096; listen 127.0.0.1:${this.port + PORT.tls} ssl http2 backlog=4096; ${ssl} ${locations}
 location = /hang { proxy_read_timeout 10m; proxy_pass http://127.0.0.1:${WEBSOCKET_PORT}; }
 location = /ws { proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; proxy_read_timeout 1h; proxy_pass http://127.0.0.1:${WEBSOCKET_PORT}; }
 location / { ${pass} } }
 server { listen 127.0.0.1:${this.port + PORT.grpc} ssl http2 backlog=4096; ${ssl} location / { grpc_pass grpc://grpc; } } }
${hasStream ? stream : ""}`;
    const file = join(folder, "nginx.conf");
    writeFileSync(file, config);
    return launch(["taskset", "-c", PROXY_CPU, "nginx", "-c", file], this.port);
  },
};

export const haproxy: Rival = {
  name: "haproxy",
  port: 29_003,
  isInstalled: () => Bun.which("haproxy") !== null,
  start(folder, { routes, accessLog }) {
    const map = join(folder, "routes.map");
    writeFileSync(map, Array.from({ length: routes }, (_, index) => `/route-${index} app`).join("\n"));
    const config = `global
  nbthread 1
  maxconn ${CONNECTIONS}
  log ${accessLog ? `${folder}/log.sock` : "/dev/null"} local0
defaults
  mode http
  timeout connect 3s
  timeout client 75s
  timeout server 60s
  timeout http-keep-alive 75s
  http-reuse always
  option forwardfor
  ${accessLog ? "log global\n  option httplog" : "no log"}
frontend web
  bind 127.0.0.1:${this.port} backlog 4096
  bind 127.0.0.1:${this.port + PORT.tls} backlog 4096 ssl crt ${folder}/both.pem alpn h2,http/1.1
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Real-IP %[src]
  http-request set-header Via "1.1 haproxy"
  http-request set-header X-Request-ID %[uuid()]
  use_backend ws if { path /ws /hang }
  ${routes > 0 ? `use_backend %[path,map_beg(${map},app)]` : ""}
  default_backend app
backend app
  balance leastconn
  option tcp-check
${BACKEND_PORTS.map((port, index) => `  server s${index} 127.0.0.1:${port} check inter 5s pool-max-conn -1`).join("\n")}
backend ws
  timeout server 10m
  timeout tunnel 1h
  server w 127.0.0.1:${WEBSOCKET_PORT}
frontend tcp
  mode tcp
  bind 127.0.0.1:${this.port + PORT.tcp} backlog 4096
  default_backend tcp
backend tcp
  mode tcp
  balance leastconn
${BACKEND_PORTS.map((port, index) => `  server s${index} 127.0.0.1:${port} check inter 5s`).join("\n")}
frontend grpc
  bind 127.0.0.1:${this.port + PORT.grpc} backlog 4096 ssl crt ${folder}/both.pem alpn h2
  default_backend grpc
backend grpc
  server g 127.0.0.1:${GRPC_PORT} proto h2
`;
    const file = join(folder, "haproxy.cfg");
    writeFileSync(file, config);
    return launch(["taskset", "-c", PROXY_CPU, "haproxy", "-db", "-f", file], this.port);
  },
};

export const caddy: Rival = {
  name: "caddy",
  port: 29_004,
  isInstalled: () => Bun.which("caddy") !== null,
  start(folder, { routes, accessLog }) {
    const upstreams = BACKEND_PORTS.map((port) => `127.0.0.1:${port}`).join(" ");
    const proxy = `reverse_proxy ${upstreams} {\n lb_policy least_conn\n transport http {\n keepalive_idle_conns_per_host 4096\n }\n }`;
    const handles = Array.from({ length: routes }, (_, index) => `handle /route-${index}* {\n ${proxy}\n }`).join("\n");
    const log = accessLog ? `log {\n output file ${folder}/caddy-access.log\n }` : "";
    const file = join(folder, "Caddyfile");
    writeFileSync(
      file,
      `{\n admin off\n auto_https off\n}\nhttp://127.0.0.1:${this.port} {\n ${log}\n ${handles}\n handle {\n ${proxy}\n }\n}\n`,
    );
    return launch(
      [
        "taskset",
        "-c",
        PROXY_CPU,
        "env",
        "GOMAXPROCS=1",
        `HOME=${folder}`,
        "caddy",
        "run",
        "--config",
        file,
        "--adapter",
        "caddyfile",
      ],
      this.port,
    );
  },
};

/** An ECDSA P-256 certificate for all rivals. */
export function makeCertificate(folder: string): void {
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
  const files = ["-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem")];
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const made = Bun.spawnSync(["openssl", "req", "-x509", ...curve, "-nodes", "-days", "30", ...files, ...subject]);
  if (made.exitCode !== 0) throw new Error(`openssl: ${made.stderr.toString()}`);
  const both = ["cert.pem", "key.pem"].map((name) => readFileSync(join(folder, name), "utf8")).join("");
  writeFileSync(join(folder, "both.pem"), both);
}

/** A gRPC-like endpoint: answers every call with one message and trailers, over HTTP/2 without TLS. */
export async function startGrpcEndpoint(cpu: string): Promise<RunningRival> {
  const script = join(import.meta.dir, "grpc-endpoint.mjs");
  const child = Bun.spawn(["taskset", "-c", cpu, "node", script, String(GRPC_PORT)], { stdout: "pipe" });
  await child.stdout.getReader().read();
  return { pids: () => [child.pid], stop: () => child.kill("SIGKILL") };
}

/** Echoes WebSocket messages, and takes requests that it never answers. */
export async function startWebSocketEndpoint(cpu: string): Promise<RunningRival> {
  const script = join(import.meta.dir, "websocket-endpoint.ts");
  const command = ["taskset", "-c", cpu, process.execPath, script, String(WEBSOCKET_PORT)];
  const child = Bun.spawn(command, { stdout: "pipe" });
  await child.stdout.getReader().read();
  return { pids: () => [child.pid], stop: () => child.kill("SIGKILL") };
}

/** nginx as the endpoints, on the other processor. */
export function startBackends(folder: string, cpu: string): Promise<RunningRival> {
  mkdirSync(join(folder, "files"), { recursive: true });
  writeFileSync(join(folder, "files", "16k"), Buffer.alloc(16_384, "x"));
  writeFileSync(join(folder, "files", "1m"), Buffer.alloc(1_048_576, "x"));
  const listen = BACKEND_PORTS.map((port) => `listen 127.0.0.1:${port} backlog=4096;`).join(" ");
  const config = `worker_processes 1; daemon off; pid ${folder}/backends.pid; error_log ${folder}/backends.err error; worker_rlimit_nofile 20000; user root;
events { worker_connections 19000; }
http { access_log off; sendfile on; open_file_cache max=100; keepalive_requests 1000000000; keepalive_timeout 300s; client_max_body_size 0; client_body_buffer_size 128k;
 client_body_temp_path ${folder}/bbody; proxy_temp_path ${folder}/bproxy; fastcgi_temp_path ${folder}/bf; uwsgi_temp_path ${folder}/bu; scgi_temp_path ${folder}/bs;
 server { ${listen} default_type text/plain; location /files/ { root ${folder}; } location / { return 200 "hello from a small endpoint\\n"; } } }`;
  const file = join(folder, "backends.conf");
  writeFileSync(file, config);
  return launch(["taskset", "-c", cpu, "nginx", "-c", file], BACKEND_PORTS[0] as number);
}

async function launch(command: string[], port: number): Promise<RunningRival> {
  const child = Bun.spawn(command, { stdio: ["ignore", "ignore", "ignore"] });
  const running = {
    pids: () => familyOf(child.pid),
    stop: () => {
      for (const pid of familyOf(child.pid).reverse()) {
        try {
          process.kill(pid, "SIGKILL");
        } catch {
          // Gone already.
        }
      }
    },
  };
  for (let look = 0; look < 200; look++) {
    if (await answers(port)) return running;
    if (child.exitCode !== null) break;
    await Bun.sleep(50);
  }
  running.stop();
  throw new Error(`${command.join(" ")} does not answer on port ${port}`);
}

async function answers(port: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/`);
    await response.text();
    return response.status === 200;
  } catch {
    return false;
  }
}

/** A process and all below it. */
export function familyOf(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
    } catch {
      // It ended while we looked.
    }
  }
  const family = [pid];
  for (let index = 0; index < family.length; index++) {
    for (const [child, parent] of parents) if (parent === family[index]) family.push(child);
  }
  return family;
}

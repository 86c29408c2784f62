/** What is measured. A target is a ratio of evenkeel's processor time per request to a rival's. */
import type { SceneConfig, Spoken } from "./rivals.ts";

export interface Scene {
  readonly name: string;
  readonly config?: Partial<SceneConfig>;
  readonly connections: number;
  readonly path: string;
  /** A wrk script that shapes the requests. */
  readonly script?: string;
  readonly headers?: readonly string[];
  /** Plain HTTP when not set. */
  readonly spoken?: Spoken;
  /** wrk when not set. `h2load`: HTTP/2, ten streams on each connection. `resumed`: a connection per request, each TLS session used again. */
  readonly load?: "wrk" | "h2load" | "grpc" | "resumed" | "websocket";
  readonly targets: { readonly nginx?: number; readonly haproxy?: number };
}

const UPLOAD = `wrk.method = "POST"
wrk.body = string.rep("x", 65536)
wrk.headers["Content-Type"] = "application/octet-stream"
`;

export const SCENES: readonly Scene[] = [
  { name: "small, c=64", connections: 64, path: "/", targets: { nginx: 1, haproxy: 0.95 } },
  { name: "small, c=512", connections: 512, path: "/", targets: { nginx: 1, haproxy: 0.95 } },
  { name: "small, c=4000", connections: 4_000, path: "/", targets: { nginx: 0.9 } },
  {
    name: "new connection per request, c=64",
    connections: 64,
    path: "/",
    headers: ["Connection: close"],
    targets: { nginx: 1.15 },
  },
  { name: "16 KiB answers, c=64", connections: 64, path: "/files/16k", targets: { nginx: 1 } },
  { name: "1 MiB answers, c=16", connections: 16, path: "/files/1m", targets: { nginx: 1 } },
  { name: "64 KiB uploads, c=32", connections: 32, path: "/upload", script: UPLOAD, targets: { nginx: 1 } },
  {
    name: "10,000 routes, c=64",
    connections: 64,
    path: "/route-7777/x",
    config: { routes: 10_000 },
    targets: { nginx: 1 },
  },
  { name: "TLS, small, c=64", spoken: "tls", connections: 64, path: "/", targets: { nginx: 1 } },
  {
    name: "TLS, full handshake per request, c=64",
    spoken: "tls",
    connections: 64,
    path: "/",
    headers: ["Connection: close"],
    targets: { nginx: 1.15 },
  },
  {
    name: "TLS, resumed session per request",
    spoken: "tls",
    load: "resumed",
    connections: 1,
    path: "/",
    targets: { nginx: 1.2 },
  },
  {
    name: "HTTP/2 over TLS, c=32, 10 streams",
    spoken: "tls",
    load: "h2load",
    connections: 32,
    path: "/",
    targets: { nginx: 0.75, haproxy: 1 },
  },
  {
    name: "gRPC unary over TLS, c=32, 10 streams",
    spoken: "grpc",
    load: "grpc",
    connections: 32,
    path: "/greeter.Greeter/Hello",
    targets: { nginx: 1 },
  },
  { name: "WebSocket echo, c=64", load: "websocket", connections: 64, path: "/ws", targets: { nginx: 1 } },
  { name: "TCP, small round trips, c=64", spoken: "tcp", connections: 64, path: "/", targets: { nginx: 1.05 } },
  { name: "TCP, 1 MiB, c=16", spoken: "tcp", connections: 16, path: "/files/1m", targets: { nginx: 0.6 } },
  {
    name: "TCP, connection per request, c=64",
    spoken: "tcp",
    connections: 64,
    path: "/",
    headers: ["Connection: close"],
    targets: { nginx: 1.1 },
  },
  { name: "small with access log, c=64", connections: 64, path: "/", config: { accessLog: true }, targets: {} },
];

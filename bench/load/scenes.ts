/** What is measured. A target is a ratio of evenkeel's processor time per request to a rival's. */
import type { SceneConfig } from "./rivals.ts";

export interface Scene {
  readonly name: string;
  readonly config?: Partial<SceneConfig>;
  readonly connections: number;
  readonly path: string;
  /** A wrk script that shapes the requests. */
  readonly script?: string;
  readonly headers?: readonly string[];
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
  { name: "small with access log, c=64", connections: 64, path: "/", config: { accessLog: true }, targets: {} },
];

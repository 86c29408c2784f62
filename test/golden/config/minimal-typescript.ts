import { defineConfig } from "evenkeel";

const ports = [3001, 3002];
export default defineConfig({
  listeners: { web: { address: ":8080", pool: "app" } },
  pools: { app: { endpoints: ports.map((port) => ({ address: `127.0.0.1:${port}`, weight: port - 3000 })) } },
});

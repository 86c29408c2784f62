/** What evenkeel.yaml says, tried with WebSocket clients and in a real browser. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";
import { type RunningExample, startExample } from "./start.ts";

const CHROMIUM = "/usr/bin/chromium";
const ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"];

let example: RunningExample;
const open: WebSocket[] = [];

beforeAll(async () => {
  example = await startExample({ ports: "free", quiet: true });
}, 30_000);
afterAll(async () => {
  for (const socket of open) socket.close();
  await example.stop();
});

/** A visitor without a page; resolves with the name of the server it has come to. */
function visit(): Promise<{ socket: WebSocket; server: string }> {
  const socket = new WebSocket(`ws://127.0.0.1:${example.port}/chat`, "chat");
  open.push(socket);
  return new Promise((resolve, reject) => {
    socket.addEventListener("message", ({ data }) => resolve({ socket, server: JSON.parse(String(data)).server }), {
      once: true,
    });
    socket.addEventListener("error", () => reject(new Error("no connection")));
  });
}

test("visitors are shared by how many are there", async () => {
  const visitors = [];
  for (let count = 0; count < 10; count++) visitors.push(await visit());
  expect(visitors.filter(({ server }) => server === "chat-1").length).toBe(5);
  expect(visitors[0]?.socket.protocol).toBe("chat");
  const leaving = visitors.filter(({ server }) => server === "chat-1").slice(0, 3);
  for (const { socket } of leaving) {
    const closed = new Promise((resolve) => socket.addEventListener("close", resolve));
    socket.close();
    await closed;
  }
  for (let count = 0; count < 3; count++) expect((await visit()).server).toBe("chat-1");
  for (const socket of open.splice(0)) socket.close();
});

test("a WebSocket anywhere else is not passed on", async () => {
  const socket = new WebSocket(`ws://127.0.0.1:${example.port}/peer`);
  expect(await new Promise((resolve) => socket.addEventListener("close", () => resolve("closed")))).toBe("closed");
});

if (!existsSync(CHROMIUM)) console.log(`skipped: there is no ${CHROMIUM}`);
else {
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS });
  }, 60_000);
  afterAll(() => browser.close());

  const openPage = async (): Promise<Page> => {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${example.port}/`);
    await page.locator("#state", { hasText: "connected to chat-" }).waitFor();
    return page;
  };
  const say = async (page: Page, text: string): Promise<void> => {
    await page.locator("#text").fill(text);
    await page.locator("button").click();
  };
  const reads = (page: Page, text: string): Promise<void> => page.locator("#lines li", { hasText: text }).waitFor();

  test("two people in a browser, each on a server of their own, read each other", async () => {
    const [anna, ben] = [await openPage(), await openPage()];
    const servers = await Promise.all([anna, ben].map((page) => page.locator("#state").textContent()));
    expect(servers.sort()).toEqual(["connected to chat-1", "connected to chat-2"]);
    await say(anna, "hello, this is Anna");
    await reads(ben, "hello, this is Anna");
    await say(ben, "<b>hi</b> Änna ☺");
    await reads(anna, "<b>hi</b> Änna ☺");
    await Promise.all([anna.close(), ben.close()]);
  }, 60_000);

  test("a server stops: its visitors come back by themselves, to the other", async () => {
    const pages = [await openPage(), await openPage()];
    await example.stopServer("chat-2");
    for (const [index, page] of pages.entries()) {
      await page.locator("#state", { hasText: "connected to chat-1" }).waitFor();
      await say(page, `page ${index} is back`);
      await reads(page, `page ${index} is back`);
    }
    await Promise.all(pages.map((page) => page.close()));
  }, 60_000);
}

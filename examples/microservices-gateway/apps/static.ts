/** A few files, kept in memory. */
import { serve } from "./serve.ts";

const FILES: Readonly<Record<string, { type: string; text: string }>> = {
  "/static/style.css": { type: "text/css", text: "body { font-family: sans-serif }\n" },
  "/static/hello.txt": { type: "text/plain", text: "hello\n" },
};

serve((_request, path) => {
  const file = FILES[path];
  if (file === undefined) return new Response("no such file\n", { status: 404 });
  return new Response(file.text, { headers: { "Content-Type": file.type } });
});

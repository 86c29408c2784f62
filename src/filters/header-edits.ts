/** Setting, adding and removing headers of requests and of answers. */
import { EvenkeelError } from "../base/errors.ts";
import { defineFilter, type Filter, type FilterContext } from "./definition.ts";
import { type HeaderEditsConfig, headerEditsSchema } from "./schema.ts";
import { compileTemplate } from "./template.ts";

/** Headers that frame a message or belong to one connection: changing them would break what they describe. */
const UNTOUCHABLE = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

export const requestHeaders = defineFilter({
  summary: "changes headers that the endpoint sees",
  options: headerEditsSchema,
  build(options): Filter {
    const apply = compileEdits(options, "request");
    return {
      onRequest(context, edits) {
        apply(context, edits);
        return undefined;
      },
    };
  },
});

export const responseHeaders = defineFilter({
  summary: "changes headers that the client sees",
  options: headerEditsSchema,
  build(options): Filter {
    return { onResponse: compileEdits(options, "response") };
  },
});

interface Edits {
  setHeader(name: string, value: string): void;
  addHeader(name: string, value: string): void;
  removeHeader(name: string): void;
}

function compileEdits(
  options: HeaderEditsConfig,
  when: "request" | "response",
): (context: FilterContext, edits: Edits) => void {
  const named = [...Object.keys(options.set), ...Object.keys(options.add), ...options.remove];
  for (const name of named) {
    if (UNTOUCHABLE.has(name.toLowerCase())) throw new EvenkeelError(untouchableMessage(name));
  }
  const compile = (edits: Readonly<Record<string, string>>) =>
    Object.entries(edits).map(([name, value]) => ({ name, value: compileTemplate(value, when) }));
  const set = compile(options.set);
  const add = compile(options.add);
  const { remove } = options;
  return (context, edits) => {
    for (const name of remove) edits.removeHeader(name);
    for (const { name, value } of set) edits.setHeader(name, value(context));
    for (const { name, value } of add) edits.addHeader(name, value(context));
  };
}

function untouchableMessage(name: string): string {
  const instead = name.toLowerCase() === "host" ? "; use rewrite.host" : "";
  return `the header ${name} cannot be changed: evenkeel manages it${instead}`;
}

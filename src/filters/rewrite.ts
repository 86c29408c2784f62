/** Changing the path or host that the endpoint sees. */
import { EvenkeelError } from "../base/errors.ts";
import { compileRegex, MAX_REGEX_SUBJECT } from "../base/regex.ts";
import { defineFilter, type Filter } from "./definition.ts";
import { type RewriteConfig, rewriteSchema } from "./schema.ts";

export const rewrite = defineFilter({
  summary: "changes the path or host that the endpoint sees",
  options: rewriteSchema,
  build(options): Filter {
    const change = compilePath(options);
    const { host } = options;
    return {
      onRequest(context, edits) {
        if (host !== undefined) edits.setHost(host);
        if (change === undefined) return undefined;
        const path = change(context.path);
        if (path !== context.path) edits.setTarget(context.query === "" ? path : `${path}?${context.query}`);
        return undefined;
      },
    };
  },
});

function compilePath(options: RewriteConfig): ((path: string) => string) | undefined {
  const steps: ((path: string) => string)[] = [];
  const { path, stripPrefix, addPrefix, regex, replacement } = options;
  if ((regex === undefined) !== (replacement === undefined))
    throw new EvenkeelError("rewrite.regex and rewrite.replacement go together: expected both or neither");
  if (path !== undefined) {
    if (stripPrefix !== undefined || addPrefix !== undefined || regex !== undefined)
      throw new EvenkeelError(
        "rewrite.path replaces the whole path, so it cannot go with stripPrefix, addPrefix or regex",
      );
    return () => path;
  }
  if (stripPrefix !== undefined) steps.push(stripper(stripPrefix.replace(/\/+$/, "")));
  if (regex !== undefined && replacement !== undefined) steps.push(replacer(regex, replacement));
  if (addPrefix !== undefined) {
    const prefix = addPrefix.replace(/\/+$/, "");
    steps.push((text) => prefix + text);
  }
  return steps.length === 0 ? undefined : (text) => steps.reduce((result, step) => step(result), text);
}

/** Only whole segments are taken off, and something is always left. */
function stripper(prefix: string): (path: string) => string {
  return (path) => {
    if (!path.startsWith(prefix)) return path;
    const rest = path.slice(prefix.length);
    return rest === "" ? "/" : rest.startsWith("/") ? rest : path;
  };
}

function replacer(source: string, replacement: string): (path: string) => string {
  const regex = compileRegex(source);
  return (path) => {
    if (path.length > MAX_REGEX_SUBJECT) return path;
    // What stands in for the match may not break the request line.
    const changed = path.replace(regex, replacement).replace(/[^\x21-\x7e]|#|\?/g, "");
    return changed.startsWith("/") ? changed : `/${changed}`;
  };
}

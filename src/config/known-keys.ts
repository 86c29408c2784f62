/** Which keys an object of the configuration may have, read from the schema. */
import { z } from "zod";
import type { Path } from "../base/place.ts";
import { configSchema } from "./schema.ts";

interface JsonSchema {
  readonly $ref?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema | boolean;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly allOf?: readonly JsonSchema[];
  readonly $defs?: Readonly<Record<string, JsonSchema>>;
}

let cached: JsonSchema | undefined;

/** The configuration as a JSON Schema, for editors: what may be written, defaults included. */
export function configJsonSchema(): JsonSchema {
  cached ??= z.toJSONSchema(configSchema, { io: "input", unrepresentable: "any" }) as JsonSchema;
  return cached;
}

export function knownKeys(path: Path): string[] {
  const root = configJsonSchema();
  let level = expand(root, root);
  for (const part of path) {
    level = level.flatMap((schema) => {
      const next = typeof part === "number" ? schema.items : (schema.properties?.[part] ?? schema.additionalProperties);
      return typeof next === "object" ? expand(next, root) : [];
    });
  }
  return [...new Set(level.flatMap((schema) => Object.keys(schema.properties ?? {})))];
}

/** The schema itself and all that it may be, references followed. */
function expand(schema: JsonSchema, root: JsonSchema, depth = 0): JsonSchema[] {
  if (depth > 20) return [];
  const target = schema.$ref === undefined ? schema : resolve(schema.$ref, root);
  const parts = [...(target.anyOf ?? []), ...(target.oneOf ?? []), ...(target.allOf ?? [])];
  return [target, ...parts.flatMap((part) => expand(part, root, depth + 1))];
}

function resolve(reference: string, root: JsonSchema): JsonSchema {
  if (reference === "#") return root;
  return root.$defs?.[reference.replace("#/$defs/", "")] ?? {};
}

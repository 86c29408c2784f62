/** The reference of the configuration: a table for every object, from the schema's own descriptions. */
import { configJsonSchema } from "../../src/config/known-keys.ts";

interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema | boolean;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly examples?: readonly unknown[];
  readonly $defs?: Readonly<Record<string, Schema>>;
}

export function configurationPage(): string {
  const sections: string[] = [];
  const seen = new Set<Schema>();
  const visit = (title: string, schema: Schema): void => {
    for (const object of objectsOf(schema)) {
      if (seen.has(object) || object.properties === undefined) continue;
      seen.add(object);
      const kind = object.properties["type"]?.const ?? object.properties["algorithm"]?.const;
      if (object.properties["algorithm"]?.const !== undefined) continue;
      const section = `## ${title.replaceAll("<", "\\<")}${kind === undefined ? "" : ` (${String(kind)})`}\n\n${object.description === undefined ? "" : `${object.description}\n\n`}${optionRows(object)}`;
      // What several kinds share is told once.
      if (!sections.includes(section)) sections.push(section);
      for (const [key, value] of Object.entries(object.properties))
        visit(`${title === "top level" ? "" : `${title}.`}${key}`, value);
    }
    for (const part of variantsOf(schema)) {
      if (typeof part.additionalProperties === "object") visit(`${title}.<name>`, part.additionalProperties);
      if (typeof part.items === "object") visit(`${title}[]`, part.items);
    }
  };
  visit("top level", root);
  return `# Configuration\n\nGenerated from the schema. Durations are written \`500ms\`, \`5s\`, \`2m\`, \`1h\`; sizes \`64KiB\`, \`10MiB\`.\n\n${sections.join("\n")}`;
}

const root = configJsonSchema() as Schema;

/** A Markdown table of an object's keys; "" when it has none. */
export function optionRows(schema: Schema): string {
  const entries = Object.entries(schema.properties ?? {}).filter(([key]) => key !== "algorithm");
  if (entries.length === 0) return "";
  const rows = entries.map(([key, value]) => {
    const target = resolve(value);
    const required =
      schema.required?.includes(key) === true ? "required" : defaultText(value.default ?? target.default);
    return `| \`${key}\` | ${typeText(value)} | ${required} | ${value.description ?? target.description ?? ""} |`;
  });
  return `| key | value | default | meaning |\n|---|---|---|---|\n${rows.join("\n")}\n`;
}

function defaultText(value: unknown): string {
  if (value === undefined) return "";
  const text = JSON.stringify(value);
  return text === "{}" || text === "[]" ? "" : `\`${text.replaceAll("|", "\\|")}\``;
}

function typeText(schema: Schema): string {
  const target = resolve(schema);
  if (target.const !== undefined) return `\`${String(target.const)}\``;
  if (target.enum !== undefined) return target.enum.map((value) => `\`${String(value)}\``).join(" \\| ");
  const parts = [...(target.anyOf ?? []), ...(target.oneOf ?? [])];
  if (parts.length > 0) return [...new Set(parts.map(typeText))].join(" or ");
  if (target.type === "array") return `list of ${typeof target.items === "object" ? typeText(target.items) : "values"}`;
  if (target.type === "object") return target.properties === undefined ? "by name" : "object";
  if (target.type === "integer" || target.type === "number") return range(target);
  if (target.examples !== undefined) return target.examples.map((value) => `\`${String(value)}\``).join(", ");
  return target.type === "string"
    ? "text"
    : target.type === "boolean"
      ? "`true` \\| `false`"
      : String(target.type ?? "value");
}

function range({ minimum, maximum }: Schema): string {
  if (minimum === undefined && maximum === undefined) return "number";
  return maximum === undefined || maximum > 2 ** 40 ? `number from ${minimum ?? 0}` : `${minimum ?? 0} to ${maximum}`;
}

function resolve(schema: Schema): Schema {
  if (schema.$ref === undefined) return schema;
  return schema.$ref === "#" ? root : (root.$defs?.[schema.$ref.replace("#/$defs/", "")] ?? {});
}

function variantsOf(schema: Schema): Schema[] {
  const target = resolve(schema);
  return [target, ...[...(target.anyOf ?? []), ...(target.oneOf ?? []), ...(target.allOf ?? [])].flatMap(variantsOf)];
}

function objectsOf(schema: Schema): Schema[] {
  return variantsOf(schema).filter((variant) => variant.properties !== undefined);
}

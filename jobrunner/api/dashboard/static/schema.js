// A JSON Schema as a form reads it. Pure.

import { count } from "./words.js";

/** `schema` with its reference followed; what stands beside the reference (a title, a default) counts more. */
function followed(schema, root) {
  const { $ref, allOf, ...own } = schema;
  const reference = $ref ?? (allOf?.length === 1 ? allOf[0].$ref : undefined);
  if (!reference) return schema;
  const found = reference.split("/").slice(1).reduce((at, key) => at?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], root);
  return { ...followed(found ?? {}, root), ...own };
}

/**
 * `schema` as {kind, nullable, ...}: references followed, null taken out of what it may be. `kind` is the control that
 * it wants: object, list, ways (one of `ways`), choice, flag, number, file, text; json for all that is none of these.
 */
export function understood(schema, root) {
  const { anyOf, oneOf, ...around } = followed(schema, root);
  const ways = (anyOf ?? oneOf ?? []).map((way) => followed(way, root));
  const others = ways.filter(({ type }) => type !== "null");
  const types = [around.type].flat();
  const known = others.length === 1 ? { ...others[0], ...around } : around;
  if (others.length > 1) known.ways = others;
  if (types.length > 1) known.type = types.find((type) => type !== "null");
  return { ...known, kind: kindOf(known), nullable: others.length < ways.length || types.includes("null") };
}

function kindOf({ ways, enum: choices, const: only, type, format, properties, items, prefixItems }) {
  if (ways) return "ways";
  if (choices || only !== undefined) return "choice";
  if (type === "object" && properties) return "object";
  if (type === "array" && items && !prefixItems) return "list";
  if (type === "string") return format === "artifact" ? "file" : "text";
  return { boolean: "flag", integer: "number", number: "number" }[type] ?? "json";
}

/** Whether `value` may well be meant as `schema`: of its type and, for an object, with its fixed values. */
export function fits(value, schema) {
  if (schema.const !== undefined) return value === schema.const;
  if (schema.enum) return schema.enum.includes(value);
  switch (schema.type) {
    case "object":
      return isObject(value) && Object.entries(schema.properties ?? {}).every(
        ([name, { const: only }]) => only === undefined || value[name] === only,
      );
    case "array": return Array.isArray(value);
    case "integer": return Number.isInteger(value);
    case undefined: return true;
    default: return typeof value === schema.type;
  }
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether two JSON values say the same. */
export const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** "Scene Description" is what pydantic makes of `scene_description`; any other title is its author's word. */
export function ownTitle(name, title) {
  return !title || title.toLowerCase() === name.replaceAll("_", " ").toLowerCase() ? null : title;
}

/** What a value must be, in words; null where the control says it already. */
export function bounds({ kind, minimum, maximum, exclusiveMinimum, exclusiveMaximum, minItems, maxItems }) {
  const [low, high] = kind === "list" ? [minItems || null, maxItems] : [minimum, maximum];
  const around = low != null && high != null;
  const words = [
    around && `${count(low)} to ${count(high)}`,
    !around && low != null && `at least ${count(low)}`,
    !around && high != null && `at most ${count(high)}`,
    exclusiveMinimum != null && `more than ${count(exclusiveMinimum)}`,
    exclusiveMaximum != null && `less than ${count(exclusiveMaximum)}`,
  ];
  return words.filter(Boolean).join(", ") || null;
}

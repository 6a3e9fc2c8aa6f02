// Generate src/generated/ from openapi.json and schemas/: the types of the API and of the events, and the list of topics.
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import openapiTS, { astToString } from "openapi-typescript";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const target = fileURLToPath(new URL("../src/generated/", import.meta.url));
const json = async (path) => JSON.parse(await readFile(root + path, "utf8"));
const types = async (document) => astToString(await openapiTS(document, { alphabetize: false }));

await rm(target, { recursive: true, force: true });
await mkdir(target, { recursive: true });

const api = await json("openapi.json");
for (const operation of Object.values(api.paths).flatMap(Object.values)) {
  for (const parameter of operation.parameters ?? []) {
    // The client makes a key for each change that has none.
    if (parameter.name === "Idempotency-Key") parameter.required = false;
  }
  const body = operation.requestBody?.content["application/json"]?.schema.$ref?.split("/").at(-1);
  // The generator takes a field with a default as always there, which is right for answers alone.
  for (const field of Object.values(api.components.schemas[body]?.properties ?? {})) delete field.default;
}
await writeFile(`${target}api.ts`, await types(api));

const suffix = ".value.json";
const names = (await readdir(`${root}schemas`)).filter((name) => name.startsWith("payments.") && name.endsWith(suffix));
const topics = names.sort().map((name) => name.slice(0, -suffix.length));
const schemas = Object.fromEntries(await Promise.all(topics.map(async (topic) => [topic, await json(`schemas/${topic}${suffix}`)])));
const events = { openapi: "3.1.0", info: { title: "events", version: "1" }, paths: {}, components: { schemas } };
const list = `export const TOPICS = ${JSON.stringify(topics, null, 2)} as const;\n`;
await writeFile(`${target}events.ts`, `${await types(events)}\n${list}`);

// Read an AsyncAPI document with AsyncAPI's own parser, `$ref`s included; any finding but an information fails.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Parser } from "@asyncapi/parser";

const INFORMATION = 2;
const source = resolve(process.argv[2]);
const { document, diagnostics } = await new Parser().parse(readFileSync(source, "utf8"), { source });
const found = diagnostics.filter(({ severity }) => severity < INFORMATION);
for (const { code, message, path } of found) console.error(`${path.join("/")}: ${message} (${code})`);
if (document === undefined || found.length > 0) process.exit(1);
console.log(`asyncapi: ${document.allChannels().all().length} channels, ${document.allMessages().all().length} messages, no findings`);

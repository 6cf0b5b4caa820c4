// Compiles src/*.sol and writes {abi, bytecode} of each contract to the directory given; the same bytes on every machine.
// Usage: node build.js NODE_MODULES OUT
"use strict";
const fs = require("fs");
const path = require("path");

const [modules, out] = process.argv.slice(2);
const solc = require(path.join(path.resolve(modules), "solc"));
const here = (...names) => path.join(__dirname, ...names);
const files = fs.readdirSync(here("src")).filter((name) => name.endsWith(".sol")).sort();
const input = {
  language: "Solidity",
  sources: Object.fromEntries(files.map((name) => [`src/${name}`, { content: fs.readFileSync(here("src", name), "utf8") }])),
  settings: JSON.parse(fs.readFileSync(here("solc.json"), "utf8")),
};
const find = (name) => {
  try {
    return { contents: fs.readFileSync(path.join(modules, name), "utf8") };
  } catch (error) {
    return { error: String(error) };
  }
};
const compiled = JSON.parse(solc.compile(JSON.stringify(input), { import: find }));
// Berlin is meant: GoQuorum knows nothing newer.
const berlin = "Support for EVM versions older than london is deprecated";
const found = (compiled.errors || []).filter(({ message }) => !message.startsWith(berlin));
for (const { formattedMessage } of found) console.error(formattedMessage);
if (found.length > 0) process.exit(1); // Warnings too.

fs.mkdirSync(out, { recursive: true });
for (const name of ["DatapactRegistry", "DatapactShare"]) {
  const { abi, evm } = compiled.contracts[`src/${name}.sol`][name];
  const size = evm.deployedBytecode.object.length / 2;
  console.log(`${name}: ${size} bytes deployed`);
  fs.writeFileSync(path.join(out, `${name}.json`), `${JSON.stringify({ abi, bytecode: `0x${evm.bytecode.object}` }, null, 1)}\n`);
}

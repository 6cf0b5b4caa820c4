#!/usr/bin/env node
// Reads a share from the chain with ethers.js and nothing of ours but the ABI: what stands there is for everybody with a node.
// Usage: node read-share.js RPC_URL REGISTRY SHARE_ID    (npm install ethers)
"use strict";
const path = require("path");
const { AbiCoder, Contract, JsonRpcProvider, keccak256, toUtf8String, zeroPadBytes } = require("ethers");

const abi = (name) => require(path.join(__dirname, "artifacts", `${name}.json`)).abi;
const [url, address, id] = process.argv.slice(2);
const STATES = ["active", "suspended", "revoked"];
// Codes are ASCII with zero bytes after them.
const code = (bytes) => toUtf8String(bytes).replace(/\0+$/, "");

async function main() {
  // So that no block is asked for that is not there yet, nor an old answer given.
  const provider = new JsonRpcProvider(url, undefined, { cacheTimeout: -1, staticNetwork: true });
  const registry = new Contract(address, abi("DatapactRegistry"), provider);
  const share = `0x${id}`;
  const [at, exists] = await registry.contractOf(share);
  if (!exists) throw new Error("there is no such share");
  const kept = await new Contract(at, abi("DatapactShare"), provider).kept();

  // All events of all shares come from the registry; its first topic is the share, with zeros after it.
  const events = async (name) =>
    registry.queryFilter([registry.interface.getEvent(name).topicHash, zeroPadBytes(share, 32)], 0, "latest");
  const policies = await events("PolicySet");
  const newest = policies[policies.length - 1].args;
  // The state keeps a digest of the whole call, so that an event can be held against it.
  const type = registry.interface.getFunction("setPolicy").inputs[0];
  const digest = keccak256(AbiCoder.defaultAbiCoder().encode([type], [newest.getValue("call")]));
  if (digest !== kept.digest) throw new Error("the newest policy's event is not what the share keeps");

  const call = newest.getValue("call");
  const result = {
    address: at,
    policy: {
      version: Number(kept.version),
      id: kept.policy.slice(2),
      state: STATES[Number(kept.state)],
      access_times: kept.unlimited ? "unlimited" : Number(kept.accessTimes),
      expires: Number(kept.expires),
      organisations: [...call.terms.organisations],
      industries: call.terms.industries.map(code),
      countries: call.terms.countries.map(code),
    },
    accesses: (await events("AccessGranted")).map(({ args }) => ({
      request: args.request.slice(2),
      consumer: args.consumer.slice(2),
      country: code(args.getValue("call").country),
      access: Number(args.access),
      time: Number(args.time),
    })),
    reports: (await events("UsageRecorded")).map(({ args }) => args.report.slice(2)),
  };
  console.log(JSON.stringify(result, null, 2));
  provider.destroy();
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});

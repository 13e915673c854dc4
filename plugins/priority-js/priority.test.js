// The same decisions as the Rust strategy's tests ask for, without the sandbox: `npm test`.

import assert from "node:assert/strict";
import test from "node:test";

import { resolver } from "./priority.js";

const text = (val) => ({ tag: "text", val });
const columns = [{ name: "id" }, { name: "status" }, { name: "level" }];
const order = ["approved", "pending", "draft"];

function check(config, { cloud, local, cloudEdited, localEdited }, expected) {
  const holding = (at) => ({ operation: "updated", editedAt: at && { seconds: BigInt(at), nanoseconds: 0 } });
  const column = config.column === "level" ? 2 : 1;
  const decide = (conflict) => resolver.resolve({ columns, config: JSON.stringify(config) }, [conflict]).decisions[0];
  const conflict = { cloud: holding(cloudEdited), local: holding(localEdited), fields: [{ column, cloud, local }] };
  const swapped = { cloud: conflict.local, local: conflict.cloud, fields: [{ column, cloud: local, local: cloud }] };
  const mirrored = expected.tag === "take" ? { tag: "take", val: expected.val === "cloud" ? "local" : "cloud" } : expected;
  assert.deepEqual(decide(conflict), expected);
  assert.deepEqual(decide(swapped), mirrored);
}

const take = (val) => ({ tag: "take", val });
const manual = (val) => ({ tag: "manual", val });
const status = { column: "Status", order };

test("the higher value wins", () => {
  check(status, { cloud: text("approved"), local: text("draft") }, take("cloud"));
  check(status, { cloud: text("draft"), local: text("pending") }, take("local"));
  const integer = (val) => ({ tag: "integer", val });
  check({ column: "level", order: ["3", "1"] }, { cloud: integer(1n), local: integer(3n) }, take("local"));
});

test("where the order does not decide a person does", () => {
  const unknown = manual("a side has no status that is in the order");
  check(status, { cloud: text("draft"), local: text("draft") }, manual("both sides have the same status"));
  check(status, { cloud: text("lost"), local: text("draft") }, unknown);
  check(status, { cloud: { tag: "null" }, local: text("draft") }, unknown);
  check(status, { cloud: undefined, local: text("draft") }, unknown);
});

test("or the later edit", () => {
  const newest = { ...status, otherwise: "newest" };
  const same = { cloud: text("draft"), local: text("draft") };
  check(newest, { ...same, cloudEdited: 5, localEdited: 4 }, take("cloud"));
  const open = manual("both sides have the same status, and neither edit is known to be the later one");
  check(newest, { ...same, cloudEdited: 5, localEdited: 5 }, open);
  check(newest, { ...same, cloudEdited: 5 }, open);
});

test("a column that is not there is said to be missing", () => {
  assert.throws(() => resolver.resolve({ columns, config: '{"column": "state", "order": ["a"]}' }, []), /the table has no column state/);
});

// A column decides: the row whose value stands higher in an order is right, whole. The same as `../priority`, which is in Rust, to show that the language is free.
//
//     strategies:
//       approval: {wasm: plugins/priority-js/priority.wasm, blake3: …, config: {column: status, order: [approved, pending, draft]}}
//
// What it exports is the interface `resolver` of `../wit/strategy.wit`. In JavaScript its records are objects, its variants `{tag, val}`, its enums strings, its
// 64-bit integers BigInts, and what is absent is `undefined`.

// The schema that the Rust strategy has, with words for the same things.
const configSchema = JSON.stringify({
  $schema: "https://json-schema.org/draft/2020-12/schema",
  description: "Which column decides, and how.",
  type: "object",
  properties: {
    column: { description: "The column.", type: "string" },
    order: {
      description: "Its values, the one that wins first. Numbers and booleans are written as text.",
      type: "array",
      items: { type: "string" },
      minItems: 1,
      uniqueItems: true,
    },
    otherwise: {
      description: "What decides where the order does not: a person, or the later edit.",
      enum: ["manual", "newest"],
    },
  },
  required: ["column", "order"],
  additionalProperties: false,
});

const take = (side) => ({ tag: "take", val: side });
const manual = (reason) => ({ tag: "manual", val: reason });

// Names match as the host matches them: exactly, else with case, underscores and blanks ignored, if only one column does.
const fold = (name) => name.replace(/[_\s]/gu, "").toLowerCase();

function find(columns, name) {
  const exact = columns.findIndex((column) => column.name === name);
  if (exact >= 0) return exact;
  const alike = columns.flatMap((column, place) => (fold(column.name) === fold(name) ? [place] : []));
  if (alike.length !== 1) throw `the table has no column ${name}`;
  return alike[0];
}

// Where a value stands in the order, the first being the highest; undefined: nowhere.
function rank(order, value) {
  if (value === undefined || value.tag === "null") return undefined;
  const place = order.indexOf(String(value.val));
  return place < 0 ? undefined : place;
}

// The side whose row was edited last; undefined: both at one time, or that is not known.
function newest({ cloud: { editedAt: cloud }, local: { editedAt: local } }) {
  if (cloud === undefined || local === undefined) return undefined;
  if (cloud.seconds !== local.seconds) return cloud.seconds > local.seconds ? "cloud" : "local";
  if (cloud.nanoseconds !== local.nanoseconds) return cloud.nanoseconds > local.nanoseconds ? "cloud" : "local";
  return undefined;
}

function otherwise(rule, conflict, why) {
  if (rule !== "newest") return manual(why);
  const side = newest(conflict);
  return side === undefined ? manual(`${why}, and neither edit is known to be the later one`) : take(side);
}

function decide({ name, place, order, rule }, conflict) {
  const field = conflict.fields.find(({ column }) => column === place);
  const cloud = rank(order, field?.cloud);
  const local = rank(order, field?.local);
  if (cloud === undefined || local === undefined) {
    return otherwise(rule, conflict, `a side has no ${name} that is in the order`);
  }
  if (cloud === local) return otherwise(rule, conflict, `both sides have the same ${name}`);
  return take(cloud < local ? "cloud" : "local");
}

export const resolver = {
  describe() {
    return {
      name: "priority-js",
      version: "0.1.0",
      configSchema,
      needsBase: false,
      symmetric: true,
      columns: { scope: "named", names: [], pointers: ["/column"] },
    };
  },

  // What is thrown here fails the batch; what one conflict cannot have decided is `manual` for that one.
  resolve(context, batch) {
    const { column, order, otherwise: rule } = JSON.parse(context.config);
    const place = find(context.columns, column);
    const strategy = { name: context.columns[place].name, place, order, rule };
    return { decisions: batch.map((conflict) => decide(strategy, conflict)), diagnostics: [] };
  },
};

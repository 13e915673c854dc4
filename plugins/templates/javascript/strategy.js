// The row with the longer text in a column is right. Where both are as long, the later edit is; where that is not known, a person decides.
//
// What is exported is the interface `resolver` of wit/strategy.wit. Records are objects, variants `{tag, val}`, enums strings, 64-bit integers
// BigInts, and what is absent is `undefined`.

// What a spec says under `config:`, for the host: specs are held against it before anything runs.
const configSchema = JSON.stringify({
  type: "object",
  properties: { column: { type: "string", description: "The column." } },
  required: ["column"],
  additionalProperties: false,
});

const take = (side) => ({ tag: "take", val: side });
const manual = (reason) => ({ tag: "manual", val: reason });

// How long a side's text is. A side without a live row has nothing to say.
function length(conflict, side, column) {
  if (["deleted", "removed"].includes(conflict[side].operation)) return 0;
  const value = conflict.fields.find((field) => field.column === column)?.[side];
  return value?.tag === "text" ? [...value.val].length : 0;
}

// The side that was edited last; undefined: both at one time, or that is not known.
function newest({ cloud: { editedAt: cloud }, local: { editedAt: local } }) {
  if (cloud === undefined || local === undefined) return undefined;
  if (cloud.seconds !== local.seconds) return cloud.seconds > local.seconds ? "cloud" : "local";
  if (cloud.nanoseconds !== local.nanoseconds) return cloud.nanoseconds > local.nanoseconds ? "cloud" : "local";
  return undefined;
}

function decide(conflict, column) {
  const [cloud, local] = ["cloud", "local"].map((side) => length(conflict, side, column));
  if (cloud !== local) return take(cloud > local ? "cloud" : "local");
  const side = newest(conflict);
  return side ? take(side) : manual("both texts are as long, and neither edit is known to be the later one");
}

export const resolver = {
  describe() {
    return {
      name: "my-strategy",
      version: "0.1.0",
      configSchema,
      needsBase: false,
      // Exchanging the sides of a conflict exchanges them in the answer.
      symmetric: true,
      // It looks at the column that the configuration names.
      columns: { scope: "named", names: [], pointers: ["/column"] },
    };
  },

  resolve(context, batch) {
    const name = JSON.parse(context.config).column;
    const column = context.columns.findIndex((column) => column.name === name);
    if (column < 0) throw `the table has no column ${name}`;
    return { decisions: batch.map((conflict) => decide(conflict, column)), diagnostics: [] };
  },
};

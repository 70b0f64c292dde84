/** Goal: the checker of serializability accepts what has an order, and notices every way in which there is none. */
import { expect, test } from "bun:test";
import { checkSerializable, type Committed } from "./serializability.ts";

function transaction(name: string, called: number, returned: number, ...accesses: string[]): Committed {
  return {
    name,
    called,
    returned,
    accesses: accesses.map((text) => {
      const [key, kind, value] = text.split(" ");
      return { key: key!, isWrite: kind === "made", value: Number(value) };
    }),
  };
}

test("an order that exists is found", () => {
  expect(
    checkSerializable([
      transaction("A", 0, 10, "x made 1", "y made 1"),
      transaction("B", 0, 10, "x made 2", "y made 2"),
      transaction("C", 5, 20, "x found 1", "y found 1"),
      transaction("D", 21, 30, "x found 2", "z found 0"),
    ]),
  ).toBe("");
});

test.each([
  ["a value made twice", [transaction("A", 0, 1, "x made 1"), transaction("B", 2, 3, "x made 1")]],
  ["a value that nobody made", [transaction("A", 0, 1, "x made 1"), transaction("B", 2, 3, "x found 2")]],
  [
    "keys in different orders",
    [transaction("A", 0, 9, "x made 1", "y made 2"), transaction("B", 0, 9, "x made 2", "y made 1")],
  ],
  [
    "a read between two keys",
    [transaction("A", 0, 9, "x made 1", "y made 1"), transaction("B", 0, 9, "x found 1", "y found 0")],
  ],
  ["write skew", [transaction("A", 0, 9, "x found 0", "y made 1"), transaction("B", 0, 9, "y found 0", "x made 1")]],
  ["a read of the past", [transaction("A", 0, 1, "x made 1"), transaction("B", 2, 3, "x found 0")]],
  ["the future", [transaction("A", 0, 1, "x found 1"), transaction("B", 2, 3, "x made 1")]],
] as const)("%s is noticed", (_, transactions) => {
  expect(checkSerializable(transactions)).not.toBe("");
});

/**
 * Goal:   images are used again, not before two turns have begun, have room for what is asked for, and waste little.
 * Method: every size; a sequence of turns.
 */
import { expect, test } from "bun:test";
import { imageClass, imageClassBytes, ImagePool } from "../../src/tier/image-pool.ts";

const LONGEST = 72 << 10;

test("classes: room for every size, an eighth or 64 bytes more at most", () => {
  let last = 0;
  for (let bytes = 1; bytes <= LONGEST; bytes++) {
    const number = imageClass(bytes);
    const room = imageClassBytes(number);
    if (number !== last && number !== last + 1) throw new Error(`no class between ${last} and ${number}`);
    if (room < bytes || room - bytes > Math.max(64, bytes / 8 + 1)) throw new Error(`${room} for ${bytes}`);
    if (imageClass(room) !== number) throw new Error(`the class of ${room}`);
    last = number;
  }
  expect(imageClassBytes(last)).toBe(LONGEST);
});

test("an image that was given is taken again two turns later, and a long one never", () => {
  const pool = new ImagePool();
  const image = pool.take(1000);
  expect([image.b.length, image.m.length]).toEqual([1024, 256]);
  pool.give(image);
  expect(pool.take(1000)).not.toBe(image);
  pool.beginTurn();
  expect(pool.take(1000)).not.toBe(image);
  pool.beginTurn();
  expect(pool.take(100)).not.toBe(image);
  expect(pool.take(961)).toBe(image);
  expect(pool.take(961)).not.toBe(image);
  const long = pool.take(LONGEST + 1);
  expect(long.b.length).toBe(LONGEST + 8);
  pool.give(long);
  for (let turn = 0; turn < 3; turn++) pool.beginTurn();
  expect(pool.take(LONGEST + 1)).not.toBe(long);
});

test("free images have 2 MiB at most", () => {
  const pool = new ImagePool();
  const images = Array.from({ length: 40 }, () => pool.take(64 << 10));
  for (const image of images) pool.give(image);
  pool.beginTurn();
  pool.beginTurn();
  const again = Array.from({ length: 40 }, () => pool.take(64 << 10));
  expect(again.filter((image) => images.includes(image)).length).toBe(32);
});

import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { preparing } from '../../src/sqlite/statement.ts'

// Node 22.18 gives a text only up to its first NUL character.
test('rows are whole although the driver cuts texts', () => {
  const db = new DatabaseSync(':memory:')
  onTestFinished(() => db.close())
  db.exec('CREATE TABLE some (n INTEGER PRIMARY KEY, text TEXT)')
  const insert = db.prepare('INSERT INTO some (text) VALUES (?)')
  const texts = ['plain', 'a\0b', '\0', '', 'größe \0 𝄞\0', null, "it's"]
  for (const text of texts) insert.run(text)
  const whole = preparing(db, true)
  const all = texts.map((text, index) => [index + 1, text])
  const statement = whole('SELECT n, text FROM some WHERE n > ? ORDER BY n')
  expect(statement.all(0)).toEqual(all)
  expect(statement.get(1)).toEqual([2, 'a\0b'])
  expect([...statement.iterate(3)]).toEqual(all.slice(3))
  expect(whole(`SELECT text AS "a b", text, 1.5 FROM some ORDER BY n DESC LIMIT ?`).all(2)).toEqual([
    ["it's", "it's", 1.5],
    [null, null, 1.5],
  ])
  expect(whole(`SELECT count(*), max(n) FROM some GROUP BY text IS NULL ORDER BY 1`).all()).toEqual([
    [1, 6],
    [6, 7],
  ])
  expect(whole('SELECT 1 WHERE FALSE').get()).toBeUndefined()
  expect(whole('UPDATE some SET text = NULL WHERE n = ?').run(1).changes).toBe(1)
  expect(whole('PRAGMA user_version').get()).toEqual([0])
})

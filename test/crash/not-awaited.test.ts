import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const PROGRAM = fileURLToPath(new URL('./not-awaited-child.ts', import.meta.url))

test('detached code of a cancelled or ended job takes no process down; a rejection in the app’s own code does', () => {
  const { stdout, stderr, status } = spawnSync(process.execPath, [PROGRAM, 'own'], { encoding: 'utf8' })
  expect([stdout, status]).toEqual(['alive\n', 1])
  expect(stderr).toContain('of the app')
})

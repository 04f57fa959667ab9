import { test } from 'vitest'
import { checkNotifications } from './notifications-law.ts'

test('crashes and lost answers on two engines notify once per job and rule of all that happened', async () => {
  await checkNotifications(20)
})

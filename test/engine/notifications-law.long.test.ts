import { test } from 'vitest'
import { shareOf } from '../share.ts'
import { checkNotifications } from './notifications-law.ts'

test('crashes and lost answers on two engines notify once per job and rule of all that happened', async () => {
  await checkNotifications(shareOf(300))
})

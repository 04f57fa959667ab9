import { shareOf } from '../share.ts'
import { testStorm } from './storm.ts'

testStorm(shareOf(500))

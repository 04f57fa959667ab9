import { testStorm } from './storm.ts'

testStorm(5)

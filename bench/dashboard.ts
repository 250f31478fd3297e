// `npm run bench:dashboard`: what the dashboard makes its reader wait for, and what it costs the API: with 10,000 finished jobs
// and 50 that run, and how soon the first scored rows of a job are there. BENCH_PARTS=jobs or rows runs one of the two;
// BENCH_SECONDS is how long the page is then left to itself.
import { buildIfStale } from '../web/build.ts'
import { benchFirstRows } from './dashboard/first-rows.ts'
import { benchManyJobs } from './dashboard/many-jobs.ts'

const PARTS = (process.env.BENCH_PARTS ?? 'jobs,rows').split(',')

await buildIfStale()
if (PARTS.includes('jobs')) await benchManyJobs(Number(process.env.BENCH_SECONDS ?? 60))
if (PARTS.includes('rows')) await benchFirstRows(Number(process.env.BENCH_RUNS ?? 20))

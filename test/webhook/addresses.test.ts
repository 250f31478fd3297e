// Where webhooks may go: public addresses, and the networks that the operator names.
import { describe, expect, test } from 'vitest'
import { addressRule } from '../../src/webhook/addresses.ts'

const strict = addressRule([])

test.each([
  '1.1.1.1',
  '172.15.255.255',
  '172.32.0.0',
  '100.63.255.255',
  '100.128.0.0',
  '192.0.1.0',
  '223.255.255.255',
  '2606:4700:4700::1111',
  '2a00:1450:4001:830::200e',
])('%s is public: https, and not plain http', (address) => {
  expect([strict('https:', address), strict('http:', address)]).toEqual([true, false])
})

test.each([
  ['this network', '0.0.0.0'],
  ['private', '10.255.255.255'],
  ['private', '172.16.0.1'],
  ['private', '172.31.255.255'],
  ['private', '192.168.1.1'],
  ['shared by carriers', '100.64.0.1'],
  ['metadata of Alibaba Cloud', '100.100.100.200'],
  ['loopback', '127.0.0.1'],
  ['loopback', '127.255.255.254'],
  ['metadata of most clouds', '169.254.169.254'],
  ['Azure’s host', '168.63.129.16'],
  ['metadata of Oracle Cloud', '192.0.0.192'],
  ['documentation', '203.0.113.9'],
  ['benchmarks', '198.19.255.255'],
  ['multicast', '224.0.0.1'],
  ['broadcast', '255.255.255.255'],
  ['unspecified', '::'],
  ['loopback', '::1'],
  ['IPv4 loopback, mapped', '::ffff:127.0.0.1'],
  ['IPv4 private, mapped', '::ffff:a00:1'],
  ['public IPv4, mapped', '::ffff:1.1.1.1'],
  ['IPv4 translated', '64:ff9b::7f00:1'],
  ['6to4', '2002:7f00:1::1'],
  ['Teredo', '2001:0:53aa:64c:0:fbff:80ff:fffe'],
  ['documentation', '2001:db8::1'],
  ['unique local', 'fd00:ec2::254'],
  ['link-local', 'fe80::1'],
  ['link-local with a zone', 'fe80::1%eth0'],
  ['multicast', 'ff02::1'],
])('%s: %s is refused', (_, address) => {
  expect([strict('https:', address), strict('http:', address)]).toEqual([false, false])
})

describe('networks that are named', () => {
  const rule = addressRule(['10.1.0.0/16', '127.0.0.1', 'fd00:1::/32'])

  test.each(['10.1.0.0', '10.1.255.255', '127.0.0.1', '::ffff:127.0.0.1', 'fd00:1:ffff::1'])(
    '%s is admitted, by plain http too',
    (address) => {
      expect([rule('https:', address), rule('http:', address)]).toEqual([true, true])
    },
  )

  test.each(['10.2.0.0', '127.0.0.2', '::1', 'fd00:2::1'])('%s lies outside', (address) => {
    expect(rule('https:', address)).toBe(false)
  })

  test.each(['10.1.0.0/33', '10.1.0.0/', '10.1/16', 'fd00::/129', 'localhost', '10.0.0.0/8/8', ''])(
    '%s is no network',
    (network) => {
      expect(() => addressRule([network])).toThrow(/expected networks such as 10\.1\.0\.0\/16/)
    },
  )
})

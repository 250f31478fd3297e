// Which addresses a webhook may be sent to. A tenant names the URL, so it must lead to the public Internet, and not to
// what only this process can reach: its own machine, the private network, a cloud's metadata service.
import { BlockList, isIP } from 'node:net'

/** Whether a webhook with this protocol (`https:` or `http:`) may be sent to an address. */
export type AddressRule = (protocol: string, address: string) => boolean

/** Not public, by the IANA registries of special-purpose addresses (RFC 6890), and what clouds keep for themselves. */
const REFUSED_IPV4 = [
  '0.0.0.0/8', // this network
  '10.0.0.0/8', // private
  '100.64.0.0/10', // shared by carriers; metadata of Alibaba Cloud
  '127.0.0.0/8', // this machine
  '168.63.129.16/32', // Azure's host, though the address is a public one
  '169.254.0.0/16', // link-local; metadata of most clouds
  '172.16.0.0/12', // private
  '192.0.0.0/24', // protocol assignments; metadata of Oracle Cloud
  '192.0.2.0/24', // documentation
  '192.88.99.0/24', // relays of 6to4
  '192.168.0.0/16', // private
  '198.18.0.0/15', // benchmarks
  '198.51.100.0/24', // documentation
  '203.0.113.0/24', // documentation
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, broadcast
]

/** Only this is public. Mapped (`::ffff:0:0/96`) and translated (`64:ff9b::/96`) IPv4, ULA, link-local lie outside. */
const PUBLIC_IPV6 = ['2000::/3']
const REFUSED_IPV6 = [
  '2001::/23', // protocol assignments, Teredo
  '2001:db8::/32', // documentation
  '2002::/16', // 6to4: any IPv4 address in disguise
  '3fff::/20', // documentation
]

const refused = blockList([...REFUSED_IPV4, ...REFUSED_IPV6])
const publicIpv6 = blockList(PUBLIC_IPV6)

/**
 * `networks` (CIDR, or a lone address) are admitted although they are private, and by plain http too: nobody else reads
 * along there. Throws `TypeError` for what is no network.
 */
export function addressRule(networks: readonly string[]): AddressRule {
  const admitted = blockList(networks)
  return (protocol, address) => {
    if (isIn(admitted, address)) return true
    return protocol === 'https:' && !isIn(refused, address) && (isIP(address) === 4 || isIn(publicIpv6, address))
  }
}

function blockList(networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', bits, ...more] = network.split('/')
    const version = isIP(address)
    const longest = version === 4 ? 32 : 128
    const prefix = bits === undefined ? longest : /^\d{1,3}$/.test(bits) ? Number(bits) : -1
    if (!version || more.length || prefix < 0 || prefix > longest)
      throw new TypeError(`expected networks such as 10.1.0.0/16 or fd00:1::/32, got ${network}`)
    list.addSubnet(address, prefix, familyOf(address))
  }
  return list
}

function isIn(list: BlockList, address: string): boolean {
  // A zone (`fe80::1%eth0`) says by which interface, and is no part of the address.
  const [bare = ''] = address.split('%')
  return list.check(bare, familyOf(bare))
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 4 ? 'ipv4' : 'ipv6'
}

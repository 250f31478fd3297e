// Settings for tests of connectors: empty but for what a test names.
import type { ConnectorSettings } from '../../connectors/connector.ts'

export function connectorSettings(parts: Partial<ConnectorSettings>): ConnectorSettings {
  return {
    connections: {},
    outputRoots: [],
    s3: { endpoint: null, region: 'us-east-1' },
    kafka: { brokers: [], topicPrefix: 'inference.', registryUrl: null },
    ...parts,
  }
}

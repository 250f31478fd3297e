// Grants on a Kafka that has an authorizer.
import { AclOperationTypes, AclPermissionTypes, AclResourceTypes, type Admin, ResourcePatternTypes } from 'kafkajs'

export { AclOperationTypes, AclResourceTypes }

/** Grants a principal some operations on a topic; or on another kind of resource, on all that begin with the name. */
export async function grant(
  admin: Admin,
  resourceName: string,
  principal: string,
  operations: readonly AclOperationTypes[],
  prefixed?: AclResourceTypes,
): Promise<void> {
  const resource = {
    resourceType: prefixed ?? AclResourceTypes.TOPIC,
    resourceName,
    // The one cluster has no prefixes.
    resourcePatternType:
      prefixed === undefined || prefixed === AclResourceTypes.CLUSTER
        ? ResourcePatternTypes.LITERAL
        : ResourcePatternTypes.PREFIXED,
  }
  const who = { principal: `User:${principal}`, host: '*', permissionType: AclPermissionTypes.ALLOW }
  await admin.createAcls({ acl: operations.map((operation) => ({ ...resource, ...who, operation })) })
}

// Grants on a Kafka that has an authorizer.
import { AclOperationTypes, AclPermissionTypes, AclResourceTypes, type Admin, ResourcePatternTypes } from 'kafkajs'

export { AclOperationTypes }

/** Grants a principal one operation on a topic. */
export async function grant(
  admin: Admin,
  topic: string,
  principal: string,
  operation: AclOperationTypes,
): Promise<void> {
  const acl = {
    resourceType: AclResourceTypes.TOPIC,
    resourceName: topic,
    resourcePatternType: ResourcePatternTypes.LITERAL,
    principal: `User:${principal}`,
    host: '*',
    operation,
    permissionType: AclPermissionTypes.ALLOW,
  }
  await admin.createAcls({ acl: [acl] })
}

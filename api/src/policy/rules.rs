//! The rules there are: one row each, with the name that policy files and faults call it by.
//!
//! Call sites name a rule by its variant, so that a rule nobody defined does not compile. The
//! names and defaults are those of the real service; ours alone begin with `cinderblock:`.

use super::defaults::{ADMIN, MEMBER, READER, ROLE_ADMIN};

/// Makes [`Rule`] of rows `Variant = "name", DEFAULT;`.
macro_rules! rules {
    ($($variant:ident = $name:literal, $default:ident;)+) => {
        /// What a caller may be allowed to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Rule {
            $(#[doc = concat!("`", $name, "`")] $variant,)+
        }

        impl Rule {
            /// All of them, in order of their numbers.
            pub(super) const ALL: &[Self] = &[$(Self::$variant),+];

            /// What policy files and faults call it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Who may do it unless the policy file says otherwise.
            pub(super) const fn default(self) -> &'static str {
                match self {
                    $(Self::$variant => $default,)+
                }
            }
        }
    };
}

rules! {
    // Who is an admin at all.
    ContextIsAdmin = "context_is_admin", ROLE_ADMIN;

    // Rules of Block Storage.
    VolumeAttachmentCreate = "volume:attachment_create", MEMBER;
    VolumeAttachmentUpdate = "volume:attachment_update", MEMBER;
    VolumeAttachmentDelete = "volume:attachment_delete", MEMBER;
    VolumeAttachmentComplete = "volume:attachment_complete", MEMBER;
    VolumeMultiattachBootableVolume = "volume:multiattach_bootable_volume", MEMBER;
    BackupAdminActionsResetStatus = "volume_extension:backup_admin_actions:reset_status", ADMIN;
    BackupAdminActionsForceDelete = "volume_extension:backup_admin_actions:force_delete", ADMIN;
    BackupGetAll = "backup:get_all", READER;
    BackupProjectAttribute = "backup:backup_project_attribute", ADMIN;
    BackupCreate = "backup:create", MEMBER;
    BackupGet = "backup:get", READER;
    BackupUpdate = "backup:update", MEMBER;
    BackupDelete = "backup:delete", MEMBER;
    BackupRestore = "backup:restore", MEMBER;
    BackupImport = "backup:backup-import", ADMIN;
    BackupExportImport = "backup:export-import", ADMIN;
    Capabilities = "volume_extension:capabilities", ADMIN;
    ClustersGetAll = "clusters:get_all", ADMIN;
    ClustersGet = "clusters:get", ADMIN;
    ClustersUpdate = "clusters:update", ADMIN;
    DefaultSetOrUpdate = "volume_extension:default_set_or_update", ADMIN;
    DefaultGet = "volume_extension:default_get", ADMIN;
    DefaultGetAll = "volume_extension:default_get_all", ADMIN;
    DefaultUnset = "volume_extension:default_unset", ADMIN;
    GroupDelete = "group:delete", MEMBER;
    GroupResetStatus = "group:reset_status", ADMIN;
    GroupEnableReplication = "group:enable_replication", MEMBER;
    GroupDisableReplication = "group:disable_replication", MEMBER;
    GroupFailoverReplication = "group:failover_replication", MEMBER;
    GroupListReplicationTargets = "group:list_replication_targets", MEMBER;
    GroupResetGroupSnapshotStatus = "group:reset_group_snapshot_status", ADMIN;
    GroupGetAllGroupSnapshots = "group:get_all_group_snapshots", READER;
    GroupCreateGroupSnapshot = "group:create_group_snapshot", MEMBER;
    GroupGetGroupSnapshot = "group:get_group_snapshot", READER;
    GroupDeleteGroupSnapshot = "group:delete_group_snapshot", MEMBER;
    GroupUpdateGroupSnapshot = "group:update_group_snapshot", MEMBER;
    GroupSnapshotProjectAttribute = "group:group_snapshot_project_attribute", ADMIN;
    GroupTypesCreate = "group:group_types:create", ADMIN;
    GroupTypesUpdate = "group:group_types:update", ADMIN;
    GroupTypesDelete = "group:group_types:delete", ADMIN;
    GroupAccessGroupTypesSpecs = "group:access_group_types_specs", ADMIN;
    GroupTypesSpecsGet = "group:group_types_specs:get", ADMIN;
    GroupTypesSpecsGetAll = "group:group_types_specs:get_all", ADMIN;
    GroupTypesSpecsCreate = "group:group_types_specs:create", ADMIN;
    GroupTypesSpecsUpdate = "group:group_types_specs:update", ADMIN;
    GroupTypesSpecsDelete = "group:group_types_specs:delete", ADMIN;
    GroupGetAll = "group:get_all", READER;
    GroupCreate = "group:create", MEMBER;
    GroupGet = "group:get", READER;
    GroupUpdate = "group:update", MEMBER;
    GroupProjectAttribute = "group:group_project_attribute", ADMIN;
    Hosts = "volume_extension:hosts", ADMIN;
    UsedLimits = "limits_extension:used_limits", READER;
    SnapshotListManageable = "snapshot_extension:list_manageable", ADMIN;
    SnapshotManage = "snapshot_extension:snapshot_manage", ADMIN;
    SnapshotUnmanage = "snapshot_extension:snapshot_unmanage", ADMIN;
    ListManageable = "volume_extension:list_manageable", ADMIN;
    VolumeManage = "volume_extension:volume_manage", ADMIN;
    VolumeUnmanage = "volume_extension:volume_unmanage", ADMIN;
    MessageGetAll = "message:get_all", READER;
    MessageGet = "message:get", READER;
    MessageDelete = "message:delete", MEMBER;
    QosSpecsManageGetAll = "volume_extension:qos_specs_manage:get_all", ADMIN;
    QosSpecsManageGet = "volume_extension:qos_specs_manage:get", ADMIN;
    QosSpecsManageCreate = "volume_extension:qos_specs_manage:create", ADMIN;
    QosSpecsManageUpdate = "volume_extension:qos_specs_manage:update", ADMIN;
    QosSpecsManageDelete = "volume_extension:qos_specs_manage:delete", ADMIN;
    QuotaClassesGet = "volume_extension:quota_classes:get", ADMIN;
    QuotaClassesUpdate = "volume_extension:quota_classes:update", ADMIN;
    QuotasShow = "volume_extension:quotas:show", READER;
    QuotasUpdate = "volume_extension:quotas:update", ADMIN;
    QuotasDelete = "volume_extension:quotas:delete", ADMIN;
    SchedulerStatsGetPools = "scheduler_extension:scheduler_stats:get_pools", ADMIN;
    ServicesIndex = "volume_extension:services:index", ADMIN;
    ServicesUpdate = "volume_extension:services:update", ADMIN;
    VolumeFreezeHost = "volume:freeze_host", ADMIN;
    VolumeThawHost = "volume:thaw_host", ADMIN;
    VolumeFailoverHost = "volume:failover_host", ADMIN;
    SnapshotAdminActionsResetStatus = "volume_extension:snapshot_admin_actions:reset_status", ADMIN;
    SnapshotActionsUpdateSnapshotStatus = "snapshot_extension:snapshot_actions:update_snapshot_status", MEMBER;
    SnapshotAdminActionsForceDelete = "volume_extension:snapshot_admin_actions:force_delete", ADMIN;
    VolumeGetSnapshotMetadata = "volume:get_snapshot_metadata", READER;
    VolumeUpdateSnapshotMetadata = "volume:update_snapshot_metadata", MEMBER;
    VolumeDeleteSnapshotMetadata = "volume:delete_snapshot_metadata", MEMBER;
    VolumeGetAllSnapshots = "volume:get_all_snapshots", READER;
    ExtendedSnapshotAttributes = "volume_extension:extended_snapshot_attributes", READER;
    VolumeCreateSnapshot = "volume:create_snapshot", MEMBER;
    VolumeGetSnapshot = "volume:get_snapshot", READER;
    VolumeUpdateSnapshot = "volume:update_snapshot", MEMBER;
    VolumeDeleteSnapshot = "volume:delete_snapshot", MEMBER;
    TypesExtraSpecsIndex = "volume_extension:types_extra_specs:index", READER;
    TypesExtraSpecsCreate = "volume_extension:types_extra_specs:create", ADMIN;
    TypesExtraSpecsShow = "volume_extension:types_extra_specs:show", READER;
    TypesExtraSpecsReadSensitive = "volume_extension:types_extra_specs:read_sensitive", ADMIN;
    TypesExtraSpecsUpdate = "volume_extension:types_extra_specs:update", ADMIN;
    TypesExtraSpecsDelete = "volume_extension:types_extra_specs:delete", ADMIN;
    VolumeTypeAccess = "volume_extension:volume_type_access", MEMBER;
    VolumeTypeAccessAddProjectAccess = "volume_extension:volume_type_access:addProjectAccess", ADMIN;
    VolumeTypeAccessRemoveProjectAccess = "volume_extension:volume_type_access:removeProjectAccess", ADMIN;
    VolumeTypeAccessGetAllForType = "volume_extension:volume_type_access:get_all_for_type", ADMIN;
    VolumeExtend = "volume:extend", MEMBER;
    VolumeExtendAttachedVolume = "volume:extend_attached_volume", MEMBER;
    VolumeAdminActionsExtendVolumeCompletion = "volume_extension:volume_admin_actions:extend_volume_completion", ADMIN;
    VolumeRevertToSnapshot = "volume:revert_to_snapshot", MEMBER;
    VolumeAdminActionsResetStatus = "volume_extension:volume_admin_actions:reset_status", ADMIN;
    VolumeRetype = "volume:retype", MEMBER;
    VolumeUpdateReadonlyFlag = "volume:update_readonly_flag", MEMBER;
    VolumeAdminActionsForceDelete = "volume_extension:volume_admin_actions:force_delete", ADMIN;
    VolumeActionsUploadPublic = "volume_extension:volume_actions:upload_public", ADMIN;
    VolumeActionsUploadImage = "volume_extension:volume_actions:upload_image", MEMBER;
    VolumeAdminActionsForceDetach = "volume_extension:volume_admin_actions:force_detach", ADMIN;
    VolumeAdminActionsMigrateVolume = "volume_extension:volume_admin_actions:migrate_volume", ADMIN;
    VolumeAdminActionsMigrateVolumeCompletion = "volume_extension:volume_admin_actions:migrate_volume_completion", ADMIN;
    VolumeActionsInitializeConnection = "volume_extension:volume_actions:initialize_connection", MEMBER;
    VolumeActionsTerminateConnection = "volume_extension:volume_actions:terminate_connection", MEMBER;
    VolumeActionsRollDetaching = "volume_extension:volume_actions:roll_detaching", MEMBER;
    VolumeActionsReserve = "volume_extension:volume_actions:reserve", MEMBER;
    VolumeActionsUnreserve = "volume_extension:volume_actions:unreserve", MEMBER;
    VolumeActionsBeginDetaching = "volume_extension:volume_actions:begin_detaching", MEMBER;
    VolumeActionsAttach = "volume_extension:volume_actions:attach", MEMBER;
    VolumeActionsDetach = "volume_extension:volume_actions:detach", MEMBER;
    VolumeReimage = "volume:reimage", MEMBER;
    VolumeReimageReserved = "volume:reimage_reserved", MEMBER;
    VolumeGetVolumeMetadata = "volume:get_volume_metadata", READER;
    VolumeCreateVolumeMetadata = "volume:create_volume_metadata", MEMBER;
    VolumeUpdateVolumeMetadata = "volume:update_volume_metadata", MEMBER;
    VolumeDeleteVolumeMetadata = "volume:delete_volume_metadata", MEMBER;
    VolumeImageMetadataShow = "volume_extension:volume_image_metadata:show", READER;
    VolumeImageMetadataSet = "volume_extension:volume_image_metadata:set", MEMBER;
    VolumeImageMetadataRemove = "volume_extension:volume_image_metadata:remove", MEMBER;
    VolumeUpdateVolumeAdminMetadata = "volume:update_volume_admin_metadata", ADMIN;
    VolumeGetAllTransfers = "volume:get_all_transfers", READER;
    VolumeCreateTransfer = "volume:create_transfer", MEMBER;
    VolumeGetTransfer = "volume:get_transfer", READER;
    VolumeAcceptTransfer = "volume:accept_transfer", MEMBER;
    VolumeDeleteTransfer = "volume:delete_transfer", MEMBER;
    TypeCreate = "volume_extension:type_create", ADMIN;
    TypeUpdate = "volume_extension:type_update", ADMIN;
    TypeDelete = "volume_extension:type_delete", ADMIN;
    TypeGet = "volume_extension:type_get", READER;
    TypeGetAll = "volume_extension:type_get_all", READER;
    AccessTypesExtraSpecs = "volume_extension:access_types_extra_specs", READER;
    AccessTypesQosSpecsId = "volume_extension:access_types_qos_specs_id", ADMIN;
    VolumeTypeEncryptionCreate = "volume_extension:volume_type_encryption:create", ADMIN;
    VolumeTypeEncryptionGet = "volume_extension:volume_type_encryption:get", ADMIN;
    VolumeTypeEncryptionUpdate = "volume_extension:volume_type_encryption:update", ADMIN;
    VolumeTypeEncryptionDelete = "volume_extension:volume_type_encryption:delete", ADMIN;
    VolumeCreate = "volume:create", MEMBER;
    VolumeCreateFromImage = "volume:create_from_image", MEMBER;
    VolumeGet = "volume:get", READER;
    VolumeGetAll = "volume:get_all", READER;
    VolumeUpdate = "volume:update", MEMBER;
    VolumeDelete = "volume:delete", MEMBER;
    VolumeForceDelete = "volume:force_delete", ADMIN;
    VolumeHostAttribute = "volume_extension:volume_host_attribute", ADMIN;
    VolumeTenantAttribute = "volume_extension:volume_tenant_attribute", READER;
    VolumeMigStatusAttribute = "volume_extension:volume_mig_status_attribute", ADMIN;
    VolumeEncryptionMetadata = "volume_extension:volume_encryption_metadata", READER;
    VolumeMultiattach = "volume:multiattach", MEMBER;
    WorkersCleanup = "workers:cleanup", ADMIN;

    // Rules of the native API.
    MetricsGet = "metrics:get", ADMIN;
    NativeGetStats = "cinderblock:get_stats", ADMIN;
    NativeGetHealth = "cinderblock:get_health", ADMIN;
    NativeGetAllVolumeStats = "cinderblock:get_all_volume_stats", ADMIN;
    NativeGetVolumeStats = "cinderblock:get_volume_stats", READER;
    NativeGetSourceLength = "cinderblock:get_source_length", READER;
    NativeSetSourceLength = "cinderblock:set_source_length", MEMBER;
    NativeExplainVolume = "cinderblock:explain_volume", READER;
    NativeGetVolumeSpace = "cinderblock:get_volume_space", ADMIN;
    NativeReclaim = "cinderblock:reclaim", ADMIN;
    NativeScrub = "cinderblock:scrub", ADMIN;
    NativeGetScrub = "cinderblock:get_scrub", ADMIN;
    NativeGetExports = "cinderblock:get_exports", ADMIN;
    NativeGetEvents = "cinderblock:get_events", ADMIN;
    NativeGetJobs = "cinderblock:get_jobs", ADMIN;
    NativeGetJob = "cinderblock:get_job", ADMIN;
    NativeGetTree = "cinderblock:get_tree", ADMIN;
}

# The RocksDB archive: built once by its own small crate, linked by every profile.
# librocksdb-sys takes it from ROCKSDB_LIB_DIR instead of compiling its own.

ROCKSDB_VERSION := $(shell sed -n '/^name = "librocksdb-sys"/{n;s/version = "\(.*\)"/\1/p}' Cargo.lock)
export ROCKSDB_LIB_DIR := $(CACHE)/rocksdb-$(ROCKSDB_VERSION)-crc
export ROCKSDB_STATIC := 1
ROCKSDB := $(ROCKSDB_LIB_DIR)/librocksdb.a

$(ROCKSDB): | setup
	scripts/rocksdb '$(ROCKSDB_LIB_DIR)' '$(CACHE)'

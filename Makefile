# fsm - one top-level Makefile; objects under build/<variant>/.
#   make            the daemons and the CLI        make check   all tests that need no root
#   make help       everything else
# Variants: CC=clang, TLS=mbedtls|openssl, SAN=asan|tsan; V=1 shows commands.

TLS ?= mbedtls
SAN ?=
CC := $(if $(filter default undefined,$(origin CC)),gcc,$(CC))
VARIANT := $(TLS)$(if $(SAN),-$(SAN))$(if $(findstring clang,$(CC)),-clang)
O := build/$(VARIANT)
Q := $(if $(V),,@)
CCACHE := $(shell command -v ccache 2>/dev/null)

VERSION := 0.1.0
COMMIT := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
BUILD_DATE := $(shell git log -1 --format=%cI 2>/dev/null || echo unknown)

PKGS := libevent_core libevent_pthreads libnghttp2 jansson yaml-0.1 libcares libpcre2-8 liblz4 libcurl
LIBS_tls := $(if $(filter openssl,$(TLS)),-lssl -lcrypto,-lmbedtls -lmbedx509 -lmbedcrypto)
comma := ,
SAN_asan := -fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined
SAN_tsan := -fsanitize=thread
# what "make fuzz" builds its targets with
SAN_fuzz := -fsanitize=fuzzer-no-link$(comma)address$(comma)undefined -fno-sanitize-recover=undefined
$(if $(filter-out asan tsan fuzz,$(SAN)),$(error SAN=$(SAN): expected asan or tsan))
$(if $(filter-out mbedtls openssl,$(TLS)),$(error TLS=$(TLS): expected mbedtls or openssl))
SAN_FLAGS := $(SAN_$(SAN))

WARN := -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Wshadow -Wundef -Wvla \
        -Wpointer-arith -Wwrite-strings -Wno-unused-parameter -Wno-missing-field-initializers
CFLAGS ?= -O2 -g
FSM_CFLAGS := -std=gnu11 $(WARN) -fno-strict-aliasing -fno-omit-frame-pointer -fstack-protector-strong \
        -D_GNU_SOURCE -I. -DFSM_TLS_$(if $(filter openssl,$(TLS)),OPENSSL,MBEDTLS)=1 \
        $(if $(SAN),,-D_FORTIFY_SOURCE=2) $(SAN_FLAGS) $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
FSM_LDFLAGS := $(SAN_FLAGS) -pthread -Wl,--as-needed -Wl,-z,relro -Wl,-z,now
LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null) $(LIBS_tls) -lm

# ---- what there is ---------------------------------------------------------------------------
# A file NAME_mbedtls.c or NAME_openssl.c is built only with that provider.
OTHER_TLS := $(if $(filter openssl,$(TLS)),mbedtls,openssl)
mine = $(filter-out %_$(OTHER_TLS).c,$(wildcard $(1)))
obj = $(patsubst %.c,$(O)/%.o,$(call mine,$(1)))

LAYERS := base io tls http proxy kube policy pki daemon
COMMON_OBJ := $(call obj,$(foreach l,$(LAYERS),common/$(l)/*.c common/$(l)/*/*.c))
INJECT_OBJ := $(filter-out %/main.o,$(call obj,injector/*.c))
RULES_OBJ := $(filter-out %/main.o,$(call obj,interceptor/init/*.c))

PROGS :=
# prog(name, its objects, extra libraries); a program is built once it has a main.c
define prog
ifneq ($(filter %/main.o,$(2)),)
PROGS += $(1)
endif
$(O)/bin/$(1): $(2) $(O)/libcommon.a
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	$(Q)$$(CC) -o $$@ $(2) $(O)/libcommon.a $$(FSM_LDFLAGS) $$(LDFLAGS) $(3) $$(LIBS)
endef

$(eval $(call prog,fsm-sidecar,$(call obj,sidecar/*.c)))
$(eval $(call prog,fsm-controller,$(call obj,controller/*.c)))
$(eval $(call prog,fsm-injector,$(call obj,injector/webhook/*.c) $(INJECT_OBJ)))
$(eval $(call prog,fsm-init,$(call obj,interceptor/init/*.c),-lip4tc -lip6tc))
$(eval $(call prog,fsm-healthcheck,$(call obj,injector/healthcheck/*.c)))
$(eval $(call prog,fsm-local-shim,$(call obj,cli/local/shim/*.c)))
$(eval $(call prog,fsm,$(call obj,cli/*.c cli/cluster/*.c cli/local/*.c) $(INJECT_OBJ)))

# ---- building --------------------------------------------------------------------------------
.DEFAULT_GOAL := all
.SECONDARY:
.DELETE_ON_ERROR:
all: $(addprefix $(O)/bin/,$(PROGS)) ## build every binary into build/<variant>/bin
	@[ "$$(readlink build/bin)" = $(VARIANT)/bin ] || { mkdir -p build && ln -sfn $(VARIANT)/bin build/bin; }

$(O)/libcommon.a: $(COMMON_OBJ)
	@rm -f $@
	@echo "  AR    $@"
	$(Q)ar rcs $@ $^

# $(call stamp,FILE,TEXT): FILE holds TEXT and is touched only when that changes, so that what depends
# on it follows the flags, the commit, the list of files
define stamp
$(1): FORCE
	@mkdir -p $$(@D)
	@echo '$(subst ','\'',$(2))' | cmp -s - $$@ || echo '$(subst ','\'',$(2))' >$$@
endef
$(eval $(call stamp,$(O)/flags,$(CC) $(FSM_CFLAGS) $(CFLAGS)))
$(eval $(call stamp,$(O)/objects,$(COMMON_OBJ)))
$(eval $(call stamp,$(O)/version,$(VERSION) $(COMMIT) $(BUILD_DATE)))
$(O)/libcommon.a: $(O)/objects

# only version.o knows the commit, so that a new commit rebuilds one file
$(O)/common/base/version.o: FSM_CFLAGS += -DFSM_VERSION='"$(VERSION)"' -DFSM_COMMIT='"$(COMMIT)"' -DFSM_BUILD_DATE='"$(BUILD_DATE)"'
$(O)/common/base/version.o: $(O)/version

# what "fsm install" applies is part of it: one file behind the other, each after a line "#file PATH"
MANIFESTS := $(wildcard deploy/crds/*.yaml deploy/kustomize/base/*.yaml deploy/kustomize/mesh-config/*.yaml)
$(eval $(call stamp,$(O)/manifests.list,$(MANIFESTS)))
$(O)/manifests: $(MANIFESTS) $(O)/manifests.list
	@for f in $(MANIFESTS); do echo "#file $$f" && cat $$f || exit 1; done >$@
$(O)/cli/cluster/manifests.o: FSM_CFLAGS += -DFSM_MANIFESTS='"$(O)/manifests"'
$(O)/cli/cluster/manifests.o: $(O)/manifests

$(O)/%.o: %.c $(O)/flags
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CCACHE) $(CC) $(FSM_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find $(O) -name '*.d' 2>/dev/null)

# ---- tests -----------------------------------------------------------------------------------
# test/unit/LAYER/NAME_test.c is one binary.  Its source may say, in lines of their own:
#   /* objects: test/fake/clock.c */     linked too, in place of what the library has of that name
#   /* wrap: malloc calloc */            calls to these go to __wrap_malloc ... (test/fake/faults.h)
# Each on one line; there may be several of either.
UNIT_SRC := $(call mine,test/unit/*/*_test.c test/unit/*/*/*_test.c)
UNIT_BIN := $(UNIT_SRC:%.c=$(O)/%)
FUZZ_NAMES := $(patsubst test/fuzz/%_fuzz.c,%,$(wildcard test/fuzz/*_fuzz.c))
CORPUS_BIN := $(FUZZ_NAMES:%=$(O)/test/fuzz/%_corpus)
FUZZ_SECONDS ?= 10
CHECK_LIBS := $(shell pkg-config --libs check 2>/dev/null)
TEST_LIBS = $(INJECT_OBJ) $(RULES_OBJ) $(O)/libcommon.a $(FSM_LDFLAGS) $(LDFLAGS) -lip4tc -lip6tc $(LIBS)
said = $(shell sed -n 's,^/\* $(1): \(.*\) \*/$$,\1,p' $(2))
extra = $(patsubst %.c,$(O)/%.o,$(call said,objects,$(1)))

.SECONDEXPANSION:
$(O)/test/unit/%: $(O)/test/unit/%.o $$(call extra,test/unit/$$*.c) $(O)/libcommon.a $(INJECT_OBJ) $(RULES_OBJ)
	@echo "  LINK  $@"
	$(Q)$(CC) -o $@ $< $(call extra,test/unit/$*.c) $(addprefix -Wl$(comma)--wrap=,$(call said,wrap,test/unit/$*.c)) $(TEST_LIBS) $(CHECK_LIBS)

# what a fuzz target says in the same two kinds of lines
fuzz_with = $(call extra,test/fuzz/$(1)_fuzz.c) $(addprefix -Wl$(comma)--wrap=,$(call said,wrap,test/fuzz/$(1)_fuzz.c))
$(O)/test/fuzz/%_corpus: $(O)/test/fuzz/%_fuzz.o $$(call extra,test/fuzz/$$*_fuzz.c) $(O)/test/fuzz/corpus_main.o $(O)/libcommon.a $(INJECT_OBJ) $(RULES_OBJ)
	@echo "  LINK  $@"
	$(Q)$(CC) -o $@ $< $(O)/test/fuzz/corpus_main.o $(call fuzz_with,$*) $(TEST_LIBS)

# libFuzzer's main instead of ours; clang only
build/fuzz/%: $(O)/test/fuzz/%_fuzz.o $$(call extra,test/fuzz/$$*_fuzz.c) $(O)/libcommon.a $(INJECT_OBJ) $(RULES_OBJ)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) -o $@ $< -fsanitize=fuzzer $(call fuzz_with,$*) $(TEST_LIBS)

# test/torture: one binary in which every call that faults.c knows, and every allocation of every
# library, can be made to fail
TORTURE_OBJ := $(call obj,test/torture/*.c test/replay/*.c) $(addprefix $(O)/,test/fake/faults.o test/fake/clock.o sidecar/document.o)
TORTURE_WRAP := $(filter-out malloc calloc realloc,$(shell sed -n 's/^[WR][RE]A[PL].[^,]*, *\([a-z_0-9]*\),.*/\1/p' test/fake/faults.c))
$(O)/test/torture/torture: $(TORTURE_OBJ) $(O)/libcommon.a
	@echo "  LINK  $@"
	$(Q)$(CC) -rdynamic -o $@ $(TORTURE_OBJ) $(addprefix -Wl$(comma)--wrap=,$(TORTURE_WRAP)) $(O)/libcommon.a $(FSM_LDFLAGS) $(LDFLAGS) $(LIBS)

# a part of it belongs to the checks where memory is looked after
TORTURE_ASAN := build/$(TLS)-asan$(if $(findstring clang,$(CC)),-clang)/test/torture/torture
TORTURE_SLICE := $(if $(filter asan,$(SAN)),$(TORTURE_ASAN))
TORTURE_EACH := 67

unit: $(UNIT_BIN) ## run the unit tests
	$(Q)test/unit/run $(UNIT_BIN)

# the cases are directories and files under test/golden/NAME, read by test/unit/NAME/golden_test.c
GOLDEN_BIN = $(filter %/golden_test,$(UNIT_BIN))
golden: $(GOLDEN_BIN) ## run the golden tests only: resources in, documents out
	$(Q)test/unit/run $(GOLDEN_BIN)
golden-update: $(GOLDEN_BIN) ## rewrite what the golden tests expect; read the difference
	$(Q)FSM_GOLDEN_UPDATE=1 GOLDEN_UPDATE=1 test/unit/run $(GOLDEN_BIN)

# scenarios of test/replay, played by test/unit/proxy/replay_test.c; REPLAY=part of a name for some
replay: $(O)/test/unit/proxy/replay_test ## the engine in virtual time (REPLAY=... for some scenarios)
	$(Q)test/unit/run $<

corpus: $(CORPUS_BIN) ## run the fuzz targets over their corpora, once
	$(Q)test/fuzz/run corpus $(CORPUS_BIN)

check: $(UNIT_BIN) $(CORPUS_BIN) all $(TORTURE_SLICE) ## unit, golden, replay and corpus tests, with one sum at the end
	$(Q)test/sum "test/unit/run $(UNIT_BIN)" "test/fuzz/run corpus $(CORPUS_BIN)" $(TORTURE_SLICE:%='% -n $(TORTURE_EACH)')

# TORTURE=part of a name for some of the cases
torture: ## every call of the engine that can fail, failed in turn (TORTURE=... for some scenarios)
	$(Q)$(MAKE) --no-print-directory SAN=asan $(TORTURE_ASAN)
	$(Q)$(TORTURE_ASAN) $(TORTURE)

# each target for that long; then the four quickest share what is missing to FUZZ_RUNS executions
FUZZ_LONG_SECONDS ?= 240
FUZZ_RUNS ?= 100000000
fuzz-long: ## fuzz every target for minutes, FUZZ_RUNS (10^8) executions in all, with a table at the end
	$(Q)$(MAKE) --no-print-directory CC=clang SAN=fuzz $(FUZZ_NAMES:%=build/fuzz/%)
	$(Q)test/fuzz/run long $(FUZZ_LONG_SECONDS) $(FUZZ_RUNS) $(FUZZ_NAMES:%=build/fuzz/%)

fuzz: ## fuzz every target for FUZZ_SECONDS (10)
	$(Q)$(MAKE) --no-print-directory CC=clang SAN=fuzz $(FUZZ_NAMES:%=build/fuzz/%)
	$(Q)test/fuzz/run fuzz $(FUZZ_SECONDS) $(FUZZ_NAMES:%=build/fuzz/%)

OURS = $(shell git ls-files --cached --others --exclude-standard '*.c' '*.h')
fmt: ## clang-format our sources in place
	$(Q)clang-format -i $(OURS)
lint: ## house rules: layers, headers, formats, words, manuals (test/lint says which)
	$(Q)CC='$(CC)' CFLAGS='$(FSM_CFLAGS)' BIN='$(O)/bin' test/lint
man-check: all ## do the manuals and the programs' --help agree?
	$(Q)test/man-check $(O)/bin

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12
clean: ## remove build/
	rm -rf build
print-%:
	@echo '$($*)'
.PHONY: all unit golden golden-update replay corpus check torture fuzz fuzz-long fmt lint man-check help clean FORCE
FORCE:

# one archive each in build/<variant>/images; REGISTRY=example.org/mesh TAG=1.2 name them otherwise
images: all ## container images of the daemons, without a container engine (REGISTRY=, TAG=)
	$(Q)deploy/images $(O)/bin $(O)/images $(or $(REGISTRY),flomesh) $(TAG)
.PHONY: images

PREFIX ?= /usr/local
install: all ## programs, manuals, systemd units (DESTDIR=, PREFIX=/usr/local)
	$(Q)deploy/install $(O)/bin '$(DESTDIR)' '$(PREFIX)'
.PHONY: install

demo: ## install, build and run the mesh on real traffic
	deploy/demo.sh
test: ## install, build every variant and run all tests
	test/run.sh
e2e: all ## the end-to-end scenarios (root)
	test/run.sh e2e/
# Both TLS providers take part; the load generator is ours where h2load does not do it.
bench: ## measure against other proxies (CASE=, PROXY=, ROUNDS=; COUNT=1: system calls and instructions)
	$(Q)$(MAKE) --no-print-directory TLS=openssl all
	$(Q)$(MAKE) --no-print-directory TLS=mbedtls all build/mbedtls/test/bench/load
	$(Q)PROXY='$(PROXY)' ROUNDS='$(ROUNDS)' NOISE='$(NOISE)' COUNT='$(COUNT)' test/bench/run $(CASE)
# As root; needs what the lab is made from: doc/kubernetes-lab.md
bench-kubernetes: all ## measure fsm-controller beside a real API server (SCALE='--services N --pods': test/bench/kubernetes-scale --help)
	$(Q)FSM_BIN='$(abspath $(O)/bin)' test/bench/kubernetes-scale $(SCALE)
$(O)/test/bench/load: $(O)/test/bench/load.o $(O)/libcommon.a
	@echo "  LINK  $@"
	$(Q)$(CC) -o $@ $^ $(FSM_LDFLAGS) $(LDFLAGS) -lssl -lcrypto $(LIBS)
# Minutes, as root; what it does and its flags: test/soak/run -h
soak-bounds: all $(O)/test/soak/flock ## memory and service under pressure, case by case (BOUNDS='[-s SECONDS] ...': test/soak/bounds.py)
	test/soak/bounds.py $(BOUNDS) $(O)/bin/fsm-sidecar $(O)/test/soak $(CASE)
soak: all $(O)/test/soak/call $(O)/test/soak/serve ## everything at once under load (SOAK='-s SECONDS -r RATE'; test/soak/run -h)
	test/soak/run $(SOAK)
$(O)/test/soak/%: $(O)/test/soak/%.o $(O)/libcommon.a
	@echo "  LINK  $@"
	$(Q)$(CC) -o $@ $^ $(FSM_LDFLAGS) $(LDFLAGS) $(LIBS)
.PHONY: demo test e2e bench bench-kubernetes soak soak-bounds

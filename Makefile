# fsm - one top-level Makefile; objects under build/<variant>/.
#   make            the daemons and the CLI        make check   unit and golden tests
#   make help       everything else
# Variants: CC=clang, TLS=mbedtls|openssl, SAN=asan|tsan, V=1 shows commands.

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

PKGS := libevent_core libevent_pthreads libnghttp2 jansson yaml-0.1 libcares libpcre2-8 libcurl
LIBS_tls := $(if $(filter openssl,$(TLS)),-lssl -lcrypto,-lmbedtls -lmbedx509 -lmbedcrypto)
comma := ,
SAN_FLAGS := $(if $(filter asan,$(SAN)),-fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined)$(if $(filter tsan,$(SAN)),-fsanitize=thread)

WARN := -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Wshadow -Wundef -Wvla \
        -Wpointer-arith -Wwrite-strings -Wno-unused-parameter -Wno-missing-field-initializers
CFLAGS ?= -O2 -g
FSM_CFLAGS = -std=gnu11 $(WARN) -fno-strict-aliasing -fno-omit-frame-pointer -fstack-protector-strong \
        -D_GNU_SOURCE -I. -DFSM_TLS_$(shell echo $(TLS) | tr a-z A-Z)=1 \
        $(if $(SAN),,-D_FORTIFY_SOURCE=2) $(SAN_FLAGS) $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
FSM_LDFLAGS = $(SAN_FLAGS) -pthread -Wl,--as-needed -Wl,-z,relro -Wl,-z,now
LIBS = $(shell pkg-config --libs $(PKGS) 2>/dev/null) $(LIBS_tls) -lm

# ---- what there is ---------------------------------------------------------------------------
# A file NAME_mbedtls.c or NAME_openssl.c is built only with that provider.
OTHER_TLS := $(if $(filter openssl,$(TLS)),mbedtls,openssl)
mine = $(filter-out %_$(OTHER_TLS).c,$(wildcard $(1)))
obj = $(patsubst %.c,$(O)/%.o,$(call mine,$(1)))

LAYERS := base io tls http proxy kube policy pki
COMMON_OBJ := $(call obj,$(foreach l,$(LAYERS),common/$(l)/*.c common/$(l)/*/*.c))
INJECT_OBJ := $(filter-out %/main.o,$(call obj,injector/*.c))
RULES_OBJ := $(filter-out %/main.o,$(call obj,interceptor/init/*.c))

PROGS :=
# prog(name, its objects, extra libraries)
define prog
PROGS += $(1)
$(O)/bin/$(1): $(2) $(O)/libcommon.a
	@mkdir -p $$(@D)
	$$(info_link)
	$(Q)$$(CC) -o $$@ $(2) $(O)/libcommon.a $$(FSM_LDFLAGS) $$(LDFLAGS) $(3) $$(LIBS)
endef
info_link = @echo "  LINK  $@"

$(eval $(call prog,fsm-sidecar,$(call obj,sidecar/*.c)))
$(eval $(call prog,fsm-controller,$(call obj,controller/*.c)))
$(eval $(call prog,fsm-init,$(call obj,interceptor/init/*.c),-lip4tc -lip6tc))
$(eval $(call prog,fsm-healthcheck,$(call obj,injector/healthcheck/*.c)))
$(eval $(call prog,fsm,$(call obj,cli/*.c cli/local/*.c) $(INJECT_OBJ)))

# ---- building --------------------------------------------------------------------------------
.DEFAULT_GOAL := all
.SECONDARY:
.DELETE_ON_ERROR:
all: $(addprefix $(O)/bin/,$(PROGS)) ## build every binary into build/<variant>/bin
	@mkdir -p build && ln -sfn $(VARIANT)/bin build/bin

$(O)/libcommon.a: $(COMMON_OBJ)
	@rm -f $@
	@echo "  AR    $@"
	$(Q)ar rcs $@ $^

# only version.o knows the commit, so that a new commit rebuilds one file
$(O)/common/base/version.o: FSM_CFLAGS += -DFSM_VERSION='"$(VERSION)"' -DFSM_COMMIT='"$(COMMIT)"' -DFSM_BUILD_DATE='"$(BUILD_DATE)"'
$(O)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CCACHE) $(CC) $(FSM_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find $(O) -name '*.d' 2>/dev/null)

# ---- tests -----------------------------------------------------------------------------------
# test/unit/LAYER/NAME_test.c is one binary; it may name extra objects: "/* objects: a.c b.c */"
UNIT_SRC := $(call mine,test/unit/*/*_test.c test/unit/*/*/*_test.c)
UNIT_BIN := $(patsubst test/unit/%.c,$(O)/test/unit/%,$(UNIT_SRC))
CHECK_LIBS := $(shell pkg-config --libs check 2>/dev/null)

$(O)/test/unit/%: $(O)/test/unit/%.o $(O)/libcommon.a $(INJECT_OBJ) $(RULES_OBJ)
	@echo "  LINK  $@"
	$(Q)$(CC) -o $@ $< $(INJECT_OBJ) $(RULES_OBJ) $(O)/libcommon.a $(FSM_LDFLAGS) $(LDFLAGS) -lip4tc -lip6tc $(LIBS) $(CHECK_LIBS)

unit: $(UNIT_BIN) ## run the unit tests
	$(Q)test/unit/run $(UNIT_BIN)

check: unit ## unit and golden tests
help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12
clean: ## remove build/
	rm -rf build
print-%:
	@echo '$($*)'
.PHONY: all unit check help clean

demo: ## install, build and run the mesh on real traffic
	deploy/demo.sh
test: ## install, build every variant and run all tests
	test/run.sh
e2e: all ## the end-to-end scenarios (root)
	test/run.sh e2e/
bench: all ## measure against other proxies (CASE=... for one case)
	test/bench/run $(CASE)
.PHONY: demo test e2e bench

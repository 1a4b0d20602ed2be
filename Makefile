# SPDX-License-Identifier: GPL-2.0-or-later
# `make` prints the targets. Each one first installs the packages that it needs (scripts/setup), which takes no
# time when they are there already.

PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest -q
JOBS ?= $(shell nproc)
RUN_TESTS := JOBS=$(JOBS) $(PYTHON) scripts/run-tests

# The folders of `make install`; the spec file passes those of its distribution.
DESTDIR ?=
PREFIX ?= /usr
HOST_PYTHON ?= /usr/bin/python3
SITELIB ?= $(shell $(HOST_PYTHON) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
UNITDIR ?= $(PREFIX)/lib/systemd/system
PRESETDIR ?= $(PREFIX)/lib/systemd/system-preset
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
RPMMACRODIR ?= $(PREFIX)/lib/rpm/macros.d
LIBEXECDIR ?= $(PREFIX)/libexec
MANDIR ?= $(PREFIX)/share/man

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
# `make vm` prints the output of the command alone, also below another make.
MAKEFLAGS += --no-print-directory

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# `need-GROUP` installs the packages of one group of scripts/packages.txt.
need-%:
	@scripts/setup $*

##@ See it

.PHONY: demo
demo: need-base need-vm ## Boot a real kernel with an open CVE and fix it by `dnf upgrade`
	@$(PYTHON) -m vm.demo

# make ends with 2 after any failed recipe. The object that is loaded here gives `make vm` the exit status of the
# command. Where the object cannot be built, "Error N" on stderr tells the status, and vm/run ends with it.
ifneq (,$(filter vm,$(MAKECMDGOALS)))
-load build/make_exit.so
build/make_exit.so: vm/make_exit.c
	@scripts/setup base >&2 && mkdir -p $(@D) && \
	  { $(CC) -O2 -Wall -Wextra -shared -fPIC -o $@.$$$$ $< && mv $@.$$$$ $@; } 2>/dev/null
endif
vm-status = build/vm-status.$$PPID
end-with = $(exit-with $(1))exit $(1)

.PHONY: vm
vm: vm-command ## Run CMD='…' as root on the demo host (VM_KEEP=dir, BOOT=new)
	@$(call end-with,$(shell cat $(vm-status); rm -f $(vm-status)))
# Literally: neither make nor a shell expands a $ in the command.
vm-command: override export CMD := $(value CMD)
vm-command: need-base need-vm
	@$(PYTHON) -m vm.run; echo $$? >$(vm-status)

##@ Test it

.PHONY: test
test: need-base need-tools need-vm rpm ## What a change has to pass: every suite without its slow tests (9 to 10 minutes)
	@$(RUN_TESTS) quick

.PHONY: test-all
test-all: need-base need-tools need-vm clients rpm ## Every test but test-build, -power, -trials and -site (about an hour)
	@$(RUN_TESTS) all

.PHONY: test-rest
test-rest: need-base need-tools need-vm clients rpm ## Every test that test-all has and test has not
	@$(RUN_TESTS) rest

.PHONY: clients
clients: need-matrix ## The DNFs of other releases, which read what livepatch-repo publishes, in build/
	@tests/build/root.sh trixie build/trixie-dnf4 dnf gnupg gpgv rpm
	@tests/build/root.sh sid build/sid-dnf5 ca-certificates dnf5 gnupg gpgv || \
		echo "clients: Debian's unstable release cannot be installed today: the tests in dnf5 do not run"

.PHONY: test-lint
test-lint: need-base ## Linters, types, documents against code, the arrows between the rooms
	@$(RUN_TESTS) all lint

.PHONY: test-unit
test-unit: need-base ## The rooms one by one
	@$(RUN_TESTS) all unit

.PHONY: test-packaging
test-packaging: need-base rpm ## The RPMs and the wheel
	@$(RUN_TESTS) all packaging

.PHONY: test-tools
test-tools: need-base need-tools clients ## livepatch-rpm and livepatch-repo
	@$(RUN_TESTS) all tools

.PHONY: test-dnf
test-dnf: need-base need-tools ## The plugin in the real DNF with real RPMs
	@$(RUN_TESTS) all dnf

.PHONY: test-dnf-matrix
test-dnf-matrix: need-base need-tools need-matrix ## The same in the DNF of the next Debian release
	@$(RUN_TESTS) all matrix

.PHONY: test-vm
test-vm: need-base need-vm ## Real kernels, real live patches, systemd, reboots
	@$(RUN_TESTS) all vm

.PHONY: test-build
test-build: need-base need-vm need-tools need-build rpm ## kpatch-build and klp-build for real (tens of minutes)
	$(PYTEST) -s tests/build

.PHONY: test-judge
test-judge: need-base need-tools ## The judge of diffs against people's verdicts (KPATCH_TREE=, FIXES=)
	@KPATCH_TREE="$(KPATCH_TREE)" FIXES="$(FIXES)" $(PYTHON) -m tests.judge

.PHONY: test-power
test-power: need-base need-vm ## Power cuts at every flush of an upgrade (an hour or two; POWER_POINTS=N)
	JOBS=$(JOBS) $(PYTEST) -s tests/power

.PHONY: test-trials
test-trials: need-base need-vm ## SIGKILL at every changing call of reconcile, and of dnf (45 minutes)
	GUARD_DEPTH=3 GUARD_WALKS=2000 $(PYTEST) -s tests/unit/test_guard_depth.py tests/unit/test_guard_model.py
	KILLS=all $(PYTEST) -s tests/vm/test_kills.py

.PHONY: test-mishaps
MISHAP_LINES := build/mishaps.jsonl
SERVED_LINES := build/served.jsonl
test-mishaps: need-base need-tools clients ## Every verb of livepatch-repo in every mishap, read by three DNFs (half an hour)
	@rm -f $(MISHAP_LINES) $(SERVED_LINES)
	MISHAPS=$(abspath $(MISHAP_LINES)) SERVED=$(abspath $(SERVED_LINES)) $(PYTEST) -n $(JOBS) \
	  tests/tools/test_repotool_mishaps.py tests/tools/test_repotool_served.py; status=$$?; \
	  $(PYTHON) -m tests.tools.evidence $(MISHAP_LINES) $(SERVED_LINES) && exit $$status

.PHONY: test-site
test-site: need-base need-tools need-site ## The repository report in a headless browser
	$(PYTEST) tests/site

.PHONY: mutants
MUTANTS_OF ?= exposure planning host.reconcile.desired vendors formats
MUTANTS_ENDING ?= 0123456789
mutants: need-base ## Break what decides on purpose and count what the unit tests notice (an hour or two; MUTANTS_ENDING=37 a fifth)
	@$(PYTHON) -m tests.mutants $(MUTANTS_ENDING) $(MUTANTS_OF)

.PHONY: fuzz
FUZZ_RUNS ?= 300000
fuzz: need-base need-tools ## Hostile bytes for every parser, guided by coverage (an hour; FUZZ_RUNS=N inputs each)
	@$(PYTHON) -m pip install -q 'atheris>=2.3,<4'
	@$(PYTHON) -m tests.fuzz --runs $(FUZZ_RUNS)

.PHONY: bench
bench: need-base need-tools ## Measure the budgets; writes bench/results.json
	$(PYTHON) -m bench

.PHONY: bench-repo
bench-repo: need-base need-tools ## The verbs of livepatch-repo on 3,000 packages (REPO_SIZES="3000 30000": hours)
	$(PYTHON) -m bench --results build/bench-repo.json bench_repo

##@ Build it

.PHONY: setup
setup: need-base need-tools need-vm ## Install what building and testing need

.PHONY: rpm
rpm: need-base ## Build SRPM and RPMs from the work tree into build/rpm
	@scripts/build-rpm

.PHONY: install
install: ## Install into DESTDIR, as the spec file does
	install -d $(DESTDIR)$(SITELIB)/dnf-plugins $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBEXECDIR)/livepatch \
	  $(DESTDIR)$(UNITDIR) $(DESTDIR)$(PRESETDIR) $(DESTDIR)$(TMPFILESDIR) $(DESTDIR)$(RPMMACRODIR) \
	  $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man8 \
	  $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
	  $(DESTDIR)$(PREFIX)/share/dnf-plugin-livepatch/profiles \
	  $(DESTDIR)$(PREFIX)/share/dnf-plugin-livepatch/schema \
	  $(DESTDIR)$(PREFIX)/share/livepatch \
	  $(DESTDIR)/etc/dnf/plugins $(DESTDIR)/etc/livepatch/profiles.d $(DESTDIR)/var/lib/livepatch
	cd dnf_plugin_livepatch && find . -name __pycache__ -prune -o -name dnf-plugins -prune -o -type f \
	  -exec install -D -p -m 644 '{}' '$(DESTDIR)$(SITELIB)/dnf_plugin_livepatch/{}' ';'
	install -p -m 644 dnf_plugin_livepatch/dnf-plugins/livepatch.py $(DESTDIR)$(SITELIB)/dnf-plugins/
	@put() { mode=$$1 to=$$2; shift 2; for file; do \
	    if [ -f "$$file" ]; then install -p -m $$mode "$$file" "$(DESTDIR)$$to/" || exit 1; fi; done; }; \
	  put 755 $(PREFIX)/bin bin/* && \
	  put 755 $(LIBEXECDIR)/livepatch libexec/* && \
	  put 644 $(UNITDIR) systemd/*.service systemd/*.timer && \
	  put 644 $(PRESETDIR) systemd/*.preset && \
	  put 644 $(TMPFILESDIR) tmpfiles.d/*.conf && \
	  put 644 $(PREFIX)/share/dnf-plugin-livepatch/profiles profiles/*.conf && \
	  put 644 $(PREFIX)/share/dnf-plugin-livepatch/schema docs/schemas/*.json && \
	  put 644 $(PREFIX)/share/dnf-plugin-livepatch spec/*.spec.in && \
	  put 644 $(RPMMACRODIR) spec/macros.* && \
	  put 644 /etc/dnf/plugins etc/livepatch.conf && \
	  put 644 $(PREFIX)/share/bash-completion/completions completion/* && \
	  put 644 $(MANDIR)/man1 man/*.1 && put 644 $(MANDIR)/man5 man/*.5 && put 644 $(MANDIR)/man8 man/*.8

.PHONY: clean
clean: ## Remove what was built; the virtual environment and downloads stay
	rm -rf build/rpm build/wheel .pytest_cache .mypy_cache .ruff_cache .hypothesis

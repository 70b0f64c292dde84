/**
 * Goal:   the manifests of Kubernetes and the Helm chart agree with the program: keys, ports, options, user and image.
 * Method: parse them; load the configuration that they mount, with the variables and options of the container, as the server
 *         does. The chart's templates are rendered with several sets of values (support/go-template.ts).
 */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { version } from "../../package.json" with { type: "json" };
import type { Config } from "../../src/base/config/config.ts";
import { loadConfig } from "../../src/base/config/load.ts";
import { MemoryFiles, replaceDurably } from "../../src/base/files.ts";
import { parseHealthArguments, parseServerArguments } from "../../src/cli/arguments.ts";
import { Chart, ChartFailed } from "../support/go-template.ts";
import { ROOT } from "../support/servers.ts";

const FOLDER = join(ROOT, "scripts/packaging");
const MACHINE = { memoryBytes: 8 * 1024 ** 3, cgroupMemoryBytes: 2 * 1024 ** 3, cpus: 4 };

// biome-ignore lint/suspicious/noExplicitAny: a manifest has any shape, and the tests read what they need
type Manifest = any;

function documentsOf(text: string): Manifest[] {
  const parsed = Bun.YAML.parse(text) as Manifest;
  return (Array.isArray(parsed) ? parsed : [parsed]).filter((each) => each !== null);
}

const kind = (documents: Manifest[], name: string): Manifest => documents.find((each) => each.kind === name);
const containerOf = (documents: Manifest[]): Manifest =>
  kind(documents, "StatefulSet").spec.template.spec.containers[0];

/** Loads the configuration as the container does: the mounted files, the variables, the options. */
function configOf(documents: Manifest[]): Config {
  const container = containerOf(documents);
  const files = new MemoryFiles(1, []);
  for (const [name, text] of Object.entries(kind(documents, "ConfigMap").data as Record<string, string>))
    replaceDurably(files, `/etc/ferrite/${name}`, new TextEncoder().encode(text), 0o644);
  const environment = Object.fromEntries(
    (container.env ?? []).map((each: Manifest) => [each.name, each.value ?? "the secret"]),
  );
  const { configPath, flags, directives } = parseServerArguments(container.args);
  const { config, warnings } = loadConfig({ configPath, flags, directives, environment, files, machine: MACHINE });
  expect(warnings).toEqual([]);
  return config;
}

/** What holds for every way to deploy. */
function check(documents: Manifest[]): Config {
  const { spec } = kind(documents, "StatefulSet").spec.template;
  const container = containerOf(documents);
  const config = configOf(documents);
  const ports = Object.fromEntries(container.ports.map((each: Manifest) => [each.name, each.containerPort]));
  expect(ports["redis"]).toBe(config.tlsPort || config.number("server.port"));
  if (config.flag("metrics.enabled")) expect(ports["metrics"]).toBe(config.number("metrics.port"));
  expect(config.text("storage.data_dir")).toBe("/data");
  expect(config.maxMemoryBytes).toBeLessThan(2 * 1024 ** 3);
  const dockerfile = readFileSync(join(FOLDER, "docker/Dockerfile"), "utf8");
  const user = { ...spec.securityContext, ...container.securityContext };
  expect(`${user.runAsUser}:${user.runAsGroup}`).toBe(/^USER (.*)$/m.exec(dockerfile)![1]!);
  expect(container.image).toEndWith(`ferrite:${version}`);
  expect(spec.enableServiceLinks).toBe(false);
  for (const probe of [container.startupProbe, container.livenessProbe, container.readinessProbe]) {
    if (probe?.exec !== undefined) {
      const [program, command, ...options] = probe.exec.command;
      expect([program, command]).toEqual(["ferrite", "health"]);
      // The probe is over before Kubernetes ends it.
      expect(parseHealthArguments(options).timeoutMs).toBeLessThan(probe.timeoutSeconds * 1000);
    }
    if (probe?.httpGet !== undefined) expect(Object.keys(ports)).toContain(probe.httpGet.port);
  }
  checkReferences(documents);
  return config;
}

/** Labels, volumes and secrets that are referred to exist. */
function checkReferences(documents: Manifest[]): void {
  const set = kind(documents, "StatefulSet");
  const { metadata, spec } = set.spec.template;
  const templates = (set.spec.volumeClaimTemplates ?? []).map((each: Manifest) => each.metadata.name);
  const volumes = [...spec.volumes.map((each: Manifest) => each.name), ...templates];
  expect(new Set(volumes).size).toBe(volumes.length);
  for (const mount of containerOf(documents).volumeMounts) expect(volumes).toContain(mount.name);
  expect(metadata.labels).toMatchObject(set.spec.selector.matchLabels);
  for (const service of documents.filter((each) => each.kind === "Service")) {
    expect(metadata.labels).toMatchObject(service.spec.selector);
    const names = containerOf(documents).ports.map((each: Manifest) => each.name);
    for (const port of service.spec.ports) expect(names).toContain(port.targetPort);
  }
  const services = documents.filter((each) => each.kind === "Service").map((each) => each.metadata.name);
  expect(services).toContain(set.spec.serviceName);
}

test("the StatefulSet agrees with the program", () => {
  const documents = documentsOf(readFileSync(join(FOLDER, "kubernetes/ferrite.yaml"), "utf8"));
  const config = check(documents);
  expect(config.text("server.password")).toBe("the secret");
  const secret = kind(documents, "Secret");
  expect(containerOf(documents).env[0].valueFrom.secretKeyRef.name).toBe(secret.metadata.name);
  expect(Object.keys(secret.stringData)).toContain(containerOf(documents).env[0].valueFrom.secretKeyRef.key);
});

describe("the Helm chart", () => {
  const folder = join(FOLDER, "helm/ferrite");
  const chart = documentsOf(readFileSync(join(folder, "Chart.yaml"), "utf8"))[0];

  /** Renders all templates with values over those of values.yaml. */
  function rendered(over: Manifest = {}): Manifest[] {
    const defaults = documentsOf(readFileSync(join(folder, "values.yaml"), "utf8"))[0];
    const root = {
      Values: merged(defaults, over),
      Chart: { Name: chart.name, AppVersion: chart.appVersion },
      Release: { Name: "shop", Namespace: "default", Service: "Helm" },
    };
    const templates = new Chart(root);
    const names = readdirSync(join(folder, "templates")).sort(
      (a, b) => Number(b.endsWith(".tpl")) - Number(a.endsWith(".tpl")),
    );
    return names.flatMap((name) => {
      const text = templates.render(readFileSync(join(folder, "templates", name), "utf8"));
      return text.trim() === "" ? [] : documentsOf(text);
    });
  }

  function merged(defaults: Manifest, over: Manifest): Manifest {
    if (typeof over !== "object" || over === null || Array.isArray(over)) return over;
    if (Object.keys(defaults).length === 0) return over; // labels and the like
    const result = { ...defaults };
    for (const [key, value] of Object.entries(over)) {
      // A value that the chart does not know would have no effect.
      expect(Object.keys(defaults)).toContain(key);
      result[key] = merged(defaults[key], value);
    }
    return result;
  }

  test("with its own values it has a password, an append-only file and a volume", () => {
    expect([chart.version, chart.appVersion]).toEqual([version, version]);
    const documents = rendered();
    const config = check(documents);
    expect(config.text("server.password")).toBe("the secret");
    expect([config.flag("persistence.enable_aof"), config.flag("persistence.enable_checkpoints")]).toEqual([
      true,
      false,
    ]);
    expect(kind(documents, "StatefulSet").spec.volumeClaimTemplates[0].spec.resources.requests.storage).toBe("8Gi");
    const secret = kind(documents, "Secret");
    expect(secret.data["redis-password"]).toBe(Buffer.from("r".repeat(24)).toString("base64"));
    expect(secret.metadata.name).toBe("shop-ferrite");
  });

  test("with the values of Bitnami's users", () => {
    const documents = rendered({
      fullnameOverride: "cache",
      auth: { existingSecret: "mine", existingSecretPasswordKey: "pw" },
      commonConfiguration: "maxmemory 256mb\nmaxmemory-policy allkeys-lru\nsave 900 1",
      tls: { enabled: true, existingSecret: "certificates", authClients: false },
      image: { registry: "registry.example" },
      master: {
        extraFlags: ["--maxclients", "77"],
        configuration: "timeout 9",
        persistence: { enabled: false },
        podLabels: { team: "shop" },
        nodeSelector: { disk: "fast" },
      },
      metrics: { serviceMonitor: { enabled: true } },
      serviceAccount: { create: false },
    });
    const config = check(documents);
    expect([config.number("server.port"), config.tlsPort]).toEqual([0, 6379]);
    expect(config.text("storage.maxmemory_policy")).toBe("allkeys-lru");
    expect([config.number("server.maxclients"), config.number("server.client_timeout")]).toEqual([77, 9]);
    expect(config.text("server.tls_cert_file")).toStartWith("/etc/ferrite-tls/");
    expect(kind(documents, "Secret")).toBeUndefined();
    expect(kind(documents, "ServiceMonitor").spec.endpoints[0].port).toBe("http-metrics");
    expect(containerOf(documents).image).toStartWith("registry.example/");
    expect(kind(documents, "StatefulSet").metadata.name).toBe("cache-master");
  });

  test("without password, probes and metrics it still serves", () => {
    const off = { enabled: false };
    const documents = rendered({
      auth: off,
      metrics: off,
      master: { startupProbe: off, livenessProbe: off, persistence: { existingClaim: "old" } },
    });
    const config = check(documents);
    expect([config.flag("server.protected_mode"), config.text("server.password")]).toEqual([false, ""]);
    expect(containerOf(documents).readinessProbe.exec.command).toContain("--ready");
    expect(kind(documents, "StatefulSet").spec.volumeClaimTemplates).toBeUndefined();
  });

  test("it refuses what this version lacks", () => {
    expect(() => rendered({ architecture: "replication" })).toThrow(ChartFailed);
    expect(() => rendered({ sentinel: { enabled: true } })).toThrow(ChartFailed);
    expect(() => rendered({ tls: { enabled: true } })).toThrow("tls.existingSecret");
  });
});

// Everything that would contact another host is off: fonts, usage statistics, the assistant and the hosted client. Requests cannot be
// sent from here, because `/v1` is on another port and accepts no calls from pages.
Scalar.createApiReference("#reference", {
  url: "openapi.json",
  documentDownloadType: "json",
  defaultHttpClient: { targetKey: "shell", clientKey: "curl" },
  withDefaultFonts: false,
  telemetry: false,
  agent: { disabled: true },
  mcp: { disabled: true },
  hideClientButton: true,
  hideTestRequestButton: true,
  showDeveloperTools: "never",
  // Two of its colors are too faint to read (WCAG 1.4.3).
  customCss: ".light-mode { --scalar-color-3: #636363; --scalar-color-green: #00754a } .dark-mode { --scalar-color-3: #9a9a9a }",
});

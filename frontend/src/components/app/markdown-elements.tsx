"use client";

import { isValidElement, type ComponentProps, type JSX, type ReactNode } from "react";
import { type ExtraProps, type StreamdownProps } from "streamdown";
import { CopyButton } from "./copy-button";

type Elements = NonNullable<StreamdownProps["components"]>;
type Props<Tag extends keyof JSX.IntrinsicElements> = ComponentProps<Tag> & ExtraProps;

/** A heading two levels below: the page has its h1, and a section around the text its h2. */
function heading(level: 3 | 4 | 5 | 6) {
  const Tag = `h${level}` as const;
  const size = level === 3 ? "text-base" : "text-sm";
  function Heading({ children }: Props<"h3">) {
    return <Tag className={`mt-1 font-semibold ${size}`}>{children}</Tag>;
  }
  return Heading;
}

/** A block of code, which scrolls in its own box and can be copied. */
function CodeBlock({ children }: Props<"pre">) {
  const { language, code } = readCode(children);
  return (
    <div className="min-w-0 overflow-hidden rounded-lg border bg-muted/50">
      <div className="flex h-8 items-center justify-between gap-2 border-b pr-1 pl-3">
        <span className="truncate font-mono text-2xs text-muted-foreground">{language || "text"}</span>
        <CopyButton text={code} label="Copy code" />
      </div>
      <pre
        tabIndex={0}
        role="region"
        aria-label={language ? `Code, ${language}` : "Code"}
        className="overflow-x-auto px-3 py-2.5 font-mono text-xs leading-5 focus-visible:outline-offset-[-2px]"
      >
        <code>{code}</code>
      </pre>
    </div>
  );
}

function readCode(children: ReactNode): { language: string; code: string } {
  if (!isValidElement<{ className?: string; children?: ReactNode }>(children)) return { language: "", code: textOf(children) };
  const language = /language-(\S+)/.exec(children.props.className ?? "")?.[1] ?? "";
  return { language, code: textOf(children.props.children).replace(/\n$/, "") };
}

function textOf(node: ReactNode): string {
  if (typeof node === "string" || typeof node === "number") return String(node);
  if (Array.isArray(node)) return node.map(textOf).join("");
  return isValidElement<{ children?: ReactNode }>(node) ? textOf(node.props.children) : "";
}

function Link({ href, children }: Props<"a">) {
  // A link whose address has not arrived yet.
  if (!href || href.startsWith("streamdown:")) return <span>{children}</span>;
  return (
    <a href={href} target="_blank" rel="noreferrer noopener" className="text-primary-text underline underline-offset-4">
      {children}
    </a>
  );
}

/** Not fetched: the address may carry what was said here to somebody else. */
function ImageLink({ src, alt }: Props<"img">) {
  return <Link href={typeof src === "string" ? src : undefined}>{alt ? `Image: ${alt}` : "Image"}</Link>;
}

function Table({ children }: Props<"table">) {
  return (
    <div tabIndex={0} role="region" aria-label="Table" className="overflow-x-auto rounded-lg border">
      <table className="w-full text-sm">{children}</table>
    </div>
  );
}

/** Colours and sizes of the dashboard in place of the package's own. */
export const MARKDOWN_ELEMENTS: Elements = {
  h1: heading(3),
  h2: heading(4),
  h3: heading(5),
  h4: heading(6),
  h5: heading(6),
  h6: heading(6),
  p: ({ children }) => <p className="min-w-0">{children}</p>,
  a: Link,
  img: ImageLink,
  ul: ({ children }) => <ul className="flex list-disc flex-col gap-1 pl-5 marker:text-muted-foreground">{children}</ul>,
  ol: ({ children, start }) => (
    <ol start={start} className="flex list-decimal flex-col gap-1 pl-6 marker:text-muted-foreground">
      {children}
    </ol>
  ),
  li: ({ children }) => <li className="min-w-0 [&>p]:inline">{children}</li>,
  blockquote: ({ children }) => <blockquote className="border-l-2 pl-3 text-muted-foreground">{children}</blockquote>,
  hr: () => <hr className="my-1" />,
  strong: ({ children }) => <strong className="font-semibold">{children}</strong>,
  pre: CodeBlock,
  inlineCode: ({ children }) => <code className="rounded-sm bg-muted px-1 py-0.5 font-mono text-xs">{children}</code>,
  table: Table,
  thead: ({ children }) => <thead className="border-b bg-muted/50 text-left">{children}</thead>,
  tbody: ({ children }) => <tbody className="divide-y">{children}</tbody>,
  tr: ({ children }) => <tr>{children}</tr>,
  th: ({ children }) => <th className="px-3 py-1.5 text-xs font-medium whitespace-nowrap">{children}</th>,
  td: ({ children }) => <td className="px-3 py-1.5 align-top">{children}</td>,
};

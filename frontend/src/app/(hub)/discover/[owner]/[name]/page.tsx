import { HubModel } from "@/features/discover/components/hub-model";

interface HubModelPageProps {
  params: Promise<{ owner: string; name: string }>;
}

export default async function HubModelPage({ params }: HubModelPageProps) {
  const { owner, name } = await params;
  return <HubModel repoId={`${decodeURIComponent(owner)}/${decodeURIComponent(name)}`} />;
}
